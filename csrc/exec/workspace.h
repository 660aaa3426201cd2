/* workspace.h: the memory of runs: one block a run, kept for the next, given back after a peak */
#ifndef BT_EXEC_WORKSPACE_H
#define BT_EXEC_WORKSPACE_H

#include <pthread.h>
#include <stddef.h>

#define BT_WORKSPACES 8 /* blocks kept when no run uses them */

struct bt_workspaces {
    pthread_mutex_t lock;
    struct {
        void *data;
        size_t size;
        int idle; /* runs in a row that needed less than a quarter of it */
    } kept[BT_WORKSPACES];
    size_t size; /* bytes of all blocks, kept or in use */
};

void bt_workspaces_init(struct bt_workspaces *ws);
void bt_workspaces_free(struct bt_workspaces *ws);
/* A block of at least `size` bytes; *got is its true size. NULL: out of memory. */
void *bt_workspace_take(struct bt_workspaces *ws, size_t size, size_t *got);
size_t bt_workspaces_size(struct bt_workspaces *ws); /* bytes of the blocks kept and in use */
/* Gives a block back; `used` is what the run needed of it. */
void bt_workspace_give(struct bt_workspaces *ws, void *data, size_t size, size_t used);

#endif
