/* tables.c: the pages of tables from which only some rows are read */
#include "exec/tables.h"

void bt_tables_release(const struct bt_graph *graph, const struct bt_weights *weights)
{
    for (size_t i = 0; i < graph->node_count; i++) {
        const struct bt_node *node = &graph->nodes[i];
        if (node->op != BT_OP_EMBEDDING) {
            continue;
        }
        const struct bt_value_info *table = &graph->values[node->args[0].value];
        if (table->kind == BT_VALUE_CONSTANT) {
            bt_weights_release(weights, &graph->constants[table->index].tensor);
        }
    }
}
