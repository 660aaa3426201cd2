/* workspace.c: the memory of runs */
#include "exec/workspace.h"

#include <string.h>

#include "base/memory.h"

#define SMALL ((size_t)4 << 20) /* below this a block is never worth giving back */
#define LARGE ((size_t)1 << 20) /* from here on a block lies on huge pages */
#define PATIENCE 16             /* small runs in a row after which a large block goes */

void bt_workspaces_init(struct bt_workspaces *ws)
{
    memset(ws, 0, sizeof *ws);
    pthread_mutex_init(&ws->lock, NULL);
}

void bt_workspaces_free(struct bt_workspaces *ws)
{
    for (int i = 0; i < BT_WORKSPACES; i++) {
        bt_free(ws->kept[i].data);
    }
    pthread_mutex_destroy(&ws->lock);
}

void *bt_workspace_take(struct bt_workspaces *ws, size_t size, size_t *got)
{
    void *data = NULL, *stale = NULL;
    pthread_mutex_lock(&ws->lock);
    int best = -1, largest = -1;
    for (int i = 0; i < BT_WORKSPACES; i++) {
        if (!ws->kept[i].data) {
            continue;
        }
        if (ws->kept[i].size >= size && (best < 0 || ws->kept[i].size < ws->kept[best].size)) {
            best = i;
        }
        if (largest < 0 || ws->kept[i].size > ws->kept[largest].size) {
            largest = i;
        }
    }
    if (best >= 0) {
        data = ws->kept[best].data;
        *got = ws->kept[best].size;
        ws->kept[best].data = NULL;
    } else {
        if (largest >= 0) {
            /* None is large enough: one of the kept blocks grows instead of another being added. */
            stale = ws->kept[largest].data;
            ws->size -= ws->kept[largest].size;
            ws->kept[largest].data = NULL;
        }
        *got = size;
        ws->size += size;
    }
    pthread_mutex_unlock(&ws->lock);
    bt_free(stale);
    if (!data) {
        data = size < LARGE ? bt_alloc(size, 1) : bt_alloc_huge(size);
    }
    if (!data) {
        pthread_mutex_lock(&ws->lock);
        ws->size -= size;
        pthread_mutex_unlock(&ws->lock);
    }
    return data;
}

size_t bt_workspaces_size(struct bt_workspaces *ws)
{
    pthread_mutex_lock(&ws->lock);
    const size_t size = ws->size;
    pthread_mutex_unlock(&ws->lock);
    return size;
}

void bt_workspace_give(struct bt_workspaces *ws, void *data, size_t size, size_t used)
{
    pthread_mutex_lock(&ws->lock);
    for (int i = 0; data && i < BT_WORKSPACES; i++) {
        if (ws->kept[i].data) {
            continue;
        }
        const int idle = size > SMALL && used < size / 4 ? ws->kept[i].idle + 1 : 0;
        if (idle < PATIENCE) {
            ws->kept[i].data = data;
            ws->kept[i].size = size;
            data = NULL;
        }
        ws->kept[i].idle = idle < PATIENCE ? idle : 0;
        break;
    }
    ws->size -= data ? size : 0;
    pthread_mutex_unlock(&ws->lock);
    bt_free(data);
}
