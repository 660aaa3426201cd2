/* test_cpu.c: processor counts from made-up cgroup files */
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpu.h"
#include "check.h"

enum { MAX_FILES = 5 };

struct file {
    const char *path;
    const char *text;
};

struct machine {
    const char *what;
    int quota;
    struct file files[MAX_FILES];
};

#define GROUPS "/proc/self/cgroup"
#define TREE "/sys/fs/cgroup"

static const struct machine machines[] = {
    {"no cgroups", 0, {{"/proc/version", "?"}}},
    {"v2 without a limit", 0, {{GROUPS, "0::/\n"}, {TREE "/cpu.max", "max 100000\n"}}},
    {"v2, two processors", 2, {{GROUPS, "0::/\n"}, {TREE "/cpu.max", "200000 100000\n"}}},
    {"v2, one and a half", 2, {{GROUPS, "0::/a/b\n"}, {TREE "/a/b/cpu.max", "150000 100000\n"}}},
    {"v2, less than one", 1, {{GROUPS, "0::/a\n"}, {TREE "/a/cpu.max", "5000 100000\n"}}},
    {"v2, a parent is tighter",
     3,
     {{GROUPS, "0::/a/b/c\n"}, {TREE "/a/b/c/cpu.max", "800000 100000\n"}, {TREE "/a/cpu.max", "300000 100000\n"}}},
    {"v2, own group is tighter",
     1,
     {{GROUPS, "0::/a/b\n"}, {TREE "/a/b/cpu.max", "100000 100000\n"}, {TREE "/a/cpu.max", "300000 100000\n"}}},
    {"v1, among other controllers",
     4,
     {{GROUPS, "9:memory:/m\n3:cpuacct,cpu:/a\n"},
      {TREE "/cpu/a/cpu.cfs_quota_us", "400000\n"},
      {TREE "/cpu/a/cpu.cfs_period_us", "100000\n"}}},
    {"v1 in a container that sees the host's path",
     2,
     {{GROUPS, "4:cpu,cpuacct:/docker/0123\n0::/system.slice\n"},
      {TREE "/cpu/cpu.cfs_quota_us", "120000\n"},
      {TREE "/cpu/cpu.cfs_period_us", "100000\n"}}},
    {"v1 without a limit",
     0,
     {{GROUPS, "4:cpu:/\n"}, {TREE "/cpu/cpu.cfs_quota_us", "-1\n"}, {TREE "/cpu/cpu.cfs_period_us", "100000\n"}}},
    {"cpuset is not cpu",
     0,
     {{GROUPS, "4:cpuset:/\n"}, {TREE "/cpu/cpu.cfs_quota_us", "1\n"}, {TREE "/cpu/cpu.cfs_period_us", "1\n"}}},
    {"numbers that make no sense",
     0,
     {{GROUPS, "nonsense\n0::/a\n\n"}, {TREE "/a/cpu.max", "100000 0\n"}, {TREE "/cpu.max", "-5 x\n"}}},
    {"a quota beyond int", INT_MAX, {{GROUPS, "0::/\n"}, {TREE "/cpu.max", "9000000000000000000 1\n"}}},
};

/* Makes the folders on the way to root + path, then the file. */
static bool write_file(const char *root, const struct file *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, file->path);
    for (char *slash = path + strlen(root); (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *stream = fopen(path, "w");
    return stream && fputs(file->text, stream) >= 0 && fclose(stream) == 0;
}

static void remove_file(const char *root, const struct file *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, file->path);
    unlink(path);
    for (char *slash; (slash = strrchr(path + strlen(root), '/')) != NULL && slash > path;) {
        *slash = '\0';
        rmdir(path); /* fails while another file is there */
    }
}

static void quotas(void)
{
    for (size_t m = 0; m < sizeof machines / sizeof machines[0]; m++) {
        char root[] = P_tmpdir "/bertc-cpu-XXXXXX";
        const struct machine *machine = &machines[m];
        CHECK(mkdtemp(root) != NULL);
        for (int i = 0; i < MAX_FILES && machine->files[i].path; i++) {
            CHECK(write_file(root, &machine->files[i]));
        }
        int quota = bt_cpu_quota(root);
        check_at(__FILE__, __LINE__, quota == machine->quota, machine->what);
        for (int i = 0; i < MAX_FILES && machine->files[i].path; i++) {
            remove_file(root, &machine->files[i]);
        }
        rmdir(root);
    }
}

static void features(void)
{
    struct bt_cpu cpu = bt_cpu_features();
    CHECK(cpu.avx2 || !cpu.avx512);
    CHECK(bt_cpu_count() >= 1);
}

int main(void)
{
    check_group("cpu quotas", quotas);
    check_group("cpu features", features);
    return check_result();
}
