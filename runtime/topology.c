#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE /* getrusage's ru_maxrss */

#include "topology.h"

#include <hwloc.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "memory.h"
#include "simulate.h"
#include "status.h"

/* Loads what is needed of the topology: cores and processing units. */
static int load_topology(hwloc_topology_t *topology) {
    if (hwloc_topology_init(topology) != 0) return 0;
    hwloc_topology_set_all_types_filter(*topology, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(*topology, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    if (hwloc_topology_load(*topology) == 0) return 1;
    hwloc_topology_destroy(*topology);
    return 0;
}

/* Where a process may run. */
typedef struct binding {
    int cores;
    int lowest_unit; /* processing unit: tells bindings apart */
} binding;

/* Of this process: one core when nothing is known. */
static binding own_binding(void) {
    hwloc_topology_t topology;
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    binding own = {1, 0};

    if (bound != NULL && load_topology(&topology)) {
        if (hwloc_get_cpubind(topology, bound, HWLOC_CPUBIND_PROCESS) != 0)
            hwloc_bitmap_copy(bound, hwloc_topology_get_allowed_cpuset(topology));
        own.cores = hwloc_get_nbobjs_inside_cpuset_by_type(topology, bound, HWLOC_OBJ_CORE);
        /* A binding narrower than a core holds none whole. */
        if (own.cores < 1) own.cores = 1;
        own.lowest_unit = hwloc_bitmap_first(bound);
        hwloc_topology_destroy(topology);
    }
    hwloc_bitmap_free(bound);
    return own;
}

int attn_threads_auto(MPI_Comm node) {
    binding own, *all;
    int ranks, sharing = 0;

    if (ATTN_SIMULATED) return attn_simulate_threads();
    own = own_binding();
    ATTN_MPI(MPI_Comm_size(node, &ranks));
    all = attn_alloc((size_t)ranks, sizeof *all);
    if (all == NULL) {
        MPI_Abort(MPI_COMM_WORLD, attn_status_exit(ATTN_ERR_MEMORY));
        return 1;
    }
    ATTN_MPI(MPI_Allgather(&own, 2, MPI_INT, all, 2, MPI_INT, node));
    for (int i = 0; i < ranks; i++)
        sharing += all[i].cores == own.cores && all[i].lowest_unit == own.lowest_unit;
    free(all);
    if (getenv("OMP_NUM_THREADS") != NULL) return omp_get_max_threads();
    return own.cores / sharing > 1 ? own.cores / sharing : 1;
}

/* The number behind `label` in a file of "label number" lines, −1 if there is none.
 * With an empty label the file is one number. */
static int64_t number_in(const char *path, const char *label) {
    char line[256];
    int64_t found = -1;
    FILE *file = fopen(path, "r");

    if (file == NULL) return -1;
    while (found < 0 && fgets(line, sizeof line, file) != NULL) {
        char *end;
        long long number;

        if (strncmp(line, label, strlen(label)) != 0) continue;
        number = strtoll(line + strlen(label), &end, 10);
        if (end != line + strlen(label)) found = number;
    }
    fclose(file);
    return found;
}

int64_t attn_memory_available(void) {
    int64_t kib = number_in("/proc/meminfo", "MemAvailable:");
    int64_t limit = number_in("/sys/fs/cgroup/memory.max", "");
    int64_t used = number_in("/sys/fs/cgroup/memory.current", "");
    int64_t available = kib < 0 ? -1 : kib * 1024;

    if (ATTN_SIMULATED) return attn_simulate_memory();
    if (limit >= 0 && used >= 0 && limit > used && (available < 0 || limit - used < available))
        available = limit - used;
    return available;
}

int64_t attn_memory_peak(void) {
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (int64_t)usage.ru_maxrss * 1024; /* Linux counts in KiB */
}

void attn_cpu_name(char *name, int bytes) {
    char line[256];
    FILE *file;

    if (ATTN_SIMULATED) {
        snprintf(name, (size_t)bytes, "%s", attn_simulate_cluster());
        return;
    }
    file = fopen("/proc/cpuinfo", "r");
    snprintf(name, (size_t)bytes, "unknown CPU");
    if (file == NULL) return;
    while (fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');

        if (strncmp(line, "model name", strlen("model name")) != 0 || colon == NULL) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(name, (size_t)bytes, "%s", colon + 2);
        break;
    }
    fclose(file);
}

int attn_node_cores(void) {
    hwloc_topology_t topology;
    int cores = 1;

    if (!load_topology(&topology)) return 1;
    cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
    hwloc_topology_destroy(topology);
    return cores < 1 ? 1 : cores;
}
