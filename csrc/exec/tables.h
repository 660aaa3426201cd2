/* tables.h: the pages of tables from which only some rows are read */
#ifndef BT_EXEC_TABLES_H
#define BT_EXEC_TABLES_H

#include "exec/weights.h"
#include "graph/graph.h"

/* Gives back what checking a file has read of its embedding tables: of the largest weight of a model a call reads a
 * few rows, which come from the file again when they are needed. */
void bt_tables_release(const struct bt_graph *graph, const struct bt_weights *weights);

#endif
