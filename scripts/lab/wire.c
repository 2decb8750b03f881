/* A wire between two network namespaces that takes its time: what netem does, where the kernel
 * lacks it. For up.sh only:
 *
 *     wire NETNS DEVICE NETNS DEVICE MICROSECONDS
 *
 * Makes a tap device at each end and goes to the background, where it hands every frame over that
 * long after it came, in order, both ways. It ends when it is killed; the devices end with it.
 *
 * Frames pass with the kernel's offload header, so that a TCP segment of 64 KiB is one frame. A
 * direction holds up to 64 MiB, which is 512 Mbit/s at one second and more at less; beyond that
 * frames wait in the device's own queue. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define RING_BYTES  ((size_t)64 << 20)
#define FRAME_BYTES ((size_t)66000) /* 64 KiB, Ethernet's header and the offload header */
#define SLOT_BYTES  (sizeof(slot) + FRAME_BYTES)

/* A frame on its way. Slots lie one after another in the ring; one that would pass its end is laid
 * at its start, after a slot of no bytes. */
typedef struct slot {
    int64_t due_nsec;
    size_t bytes;
} slot;

typedef struct direction {
    int from, to;     /* taps */
    char *ring;       /* RING_BYTES, pages come as they are touched */
    size_t head, end; /* of the oldest frame; behind the youngest */
    size_t frames;
} direction;

static void die(const char *what) {
    (void)fprintf(stderr, "wire: error: %s: %s\n", what, strerror(errno));
    exit(3);
}

static int64_t now_nsec(void) {
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void enter(const char *netns) {
    char path[256];
    int file;

    (void)snprintf(path, sizeof path, "/run/netns/%s", netns);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || setns(file, CLONE_NEWNET) != 0) die(path);
    (void)close(file);
}

/* A tap of the namespace that we are in, and stays in it. */
static int open_tap(const char *device) {
    struct ifreq request = {0};
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    if (tap < 0) die("/dev/net/tun");
    (void)snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(tap, TUNSETIFF, &request) != 0) die("TUNSETIFF");
    if (ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) die("TUNSETOFFLOAD");
    return tap;
}

static size_t rounded(size_t bytes) {
    return (bytes + sizeof(slot) - 1) / sizeof(slot) * sizeof(slot);
}

/* Where the next frame goes, or NULL when there is no room for a largest one. */
static slot *room(direction *way) {
    if (way->frames == 0) way->head = way->end = 0;
    if (way->frames > 0 && way->end <= way->head)
        return way->head - way->end > SLOT_BYTES ? (slot *)(void *)(way->ring + way->end) : NULL;
    if (RING_BYTES - way->end >= SLOT_BYTES + sizeof(slot))
        return (slot *)(void *)(way->ring + way->end);
    if (way->head <= SLOT_BYTES) return NULL;
    ((slot *)(void *)(way->ring + way->end))->bytes = 0;
    way->end = 0;
    return (slot *)(void *)way->ring;
}

static slot *oldest(direction *way) {
    slot *frame = (slot *)(void *)(way->ring + way->head);

    if (way->frames == 0) return NULL;
    if (frame->bytes > 0) return frame;
    way->head = 0;
    return (slot *)(void *)way->ring;
}

/* Takes in what has come, up to a share, so that the other direction has its turn. */
static void take(direction *way, int64_t delay_nsec) {
    for (int i = 0; i < 64; i++) {
        slot *frame = room(way);
        ssize_t got;

        if (frame == NULL) return;
        got = read(way->from, frame + 1, FRAME_BYTES);
        if (got <= 0) return;
        frame->due_nsec = now_nsec() + delay_nsec;
        frame->bytes = (size_t)got;
        way->end += sizeof(slot) + rounded(frame->bytes);
        way->frames++;
    }
}

/* Hands over what is due. A device that is down loses frames, as a cable that is cut. */
static void hand_over(direction *way) {
    slot *frame;

    while ((frame = oldest(way)) != NULL && frame->due_nsec <= now_nsec()) {
        if (write(way->to, frame + 1, frame->bytes) < 0 && errno == EBADF) die("write");
        way->head += sizeof(slot) + rounded(frame->bytes);
        way->frames--;
    }
}

static _Noreturn void carry(direction *ways, int64_t delay_nsec) {
    for (;;) {
        struct pollfd polled[2];
        int64_t next_nsec = INT64_MAX;
        struct timespec timeout;

        for (int i = 0; i < 2; i++) {
            const slot *frame = oldest(&ways[i]);
            polled[i].fd = ways[i].from;
            polled[i].events = room(&ways[i]) != NULL ? POLLIN : 0;
            if (frame != NULL && frame->due_nsec < next_nsec) next_nsec = frame->due_nsec;
        }
        if (next_nsec != INT64_MAX) {
            int64_t left_nsec = next_nsec - now_nsec();
            if (left_nsec < 0) left_nsec = 0;
            timeout.tv_sec = (time_t)(left_nsec / 1000000000);
            timeout.tv_nsec = (long)(left_nsec % 1000000000);
        }
        if (ppoll(polled, 2, next_nsec != INT64_MAX ? &timeout : NULL, NULL) < 0 && errno != EINTR)
            die("ppoll");
        for (int i = 0; i < 2; i++) {
            hand_over(&ways[i]);
            if ((polled[i].revents & POLLIN) != 0) take(&ways[i], delay_nsec);
        }
    }
}

int main(int argc, char **argv) {
    direction ways[2] = {{0}};
    int taps[2];

    if (argc != 6) {
        (void)fprintf(stderr, "wire: error: NETNS DEVICE NETNS DEVICE MICROSECONDS are needed\n");
        return 2;
    }
    for (int i = 0; i < 2; i++) {
        enter(argv[1 + 2 * i]);
        taps[i] = open_tap(argv[2 + 2 * i]);
    }
    for (int i = 0; i < 2; i++) {
        ways[i].from = taps[i];
        ways[i].to = taps[1 - i];
        ways[i].ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (ways[i].ring == MAP_FAILED) die("mmap");
    }
    (void)prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    if (daemon(0, 0) != 0) die("daemon");
    carry(ways, strtoll(argv[5], NULL, 10) * 1000);
}
