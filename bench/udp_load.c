// What bench/udp.py measures relays with: an echo of datagrams, and clients that have so many under way.
//
//   udp_load echo PORT GSO                                     answers on [::1] and 127.0.0.1, until it is killed
//   udp_load ask PORT FLOWS WINDOW SIZE GSO MILLISECONDS       prints round trips, and those that were given up
//
// With GSO 1 either end hands its datagrams to the kernel together (UDP_SEGMENT), and takes them so (UDP_GRO), as QUIC stacks do.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define ROOM 65536
#define FLOWS 64

static char memory[BATCH][ROOM];
static struct mmsghdr headers[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_storage names[BATCH];
static char controls[BATCH][CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];

static int check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static int socket_of(int family, int gso) {
    int fd = check(socket(family, SOCK_DGRAM, 0), "socket"), on = 1, room = 4 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (gso) check(setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on), "UDP_GRO");
    return fd;
}

// Takes what has come; the segment size of each, or 0, is left in `segments`.
static int take(int fd, int *segments) {
    for (int at = 0; at < BATCH; at++) {
        vectors[at] = (struct iovec){memory[at], ROOM};
        headers[at].msg_hdr = (struct msghdr){&names[at], sizeof names[at], &vectors[at], 1, controls[at], sizeof controls[at], 0};
    }
    int count = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);
    for (int at = 0; at < count; at++) {
        struct cmsghdr *told = CMSG_FIRSTHDR(&headers[at].msg_hdr);
        segments[at] = told && told->cmsg_level == SOL_UDP && told->cmsg_type == UDP_GRO ? *(int *)CMSG_DATA(told) : 0;
    }
    return count;
}

// Prepares the message at `at` to be sent: `length` bytes, cut into `segment`, or whole.
static void prepare(int at, size_t length, int segment, int named) {
    vectors[at] = (struct iovec){memory[at], length};
    struct msghdr *header = &headers[at].msg_hdr;
    socklen_t name = header->msg_namelen;
    *header = (struct msghdr){named ? &names[at] : NULL, named ? name : 0, &vectors[at], 1, NULL, 0, 0};
    if (segment > 0 && (size_t)segment < length) {
        header->msg_control = controls[at];
        header->msg_controllen = CMSG_SPACE(sizeof(uint16_t));
        struct cmsghdr *told = CMSG_FIRSTHDR(header);
        told->cmsg_level = SOL_UDP, told->cmsg_type = UDP_SEGMENT, told->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        *(uint16_t *)CMSG_DATA(told) = segment;
    }
}

static void send_all(int fd, int count) {
    for (int done = 0; done < count;) {
        int sent = sendmmsg(fd, headers + done, count - done, 0);
        done += sent > 0 ? sent : 1;
    }
}

static void echo(int port, int gso) {
    struct pollfd polled[2];
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    polled[0] = (struct pollfd){socket_of(AF_INET6, gso), POLLIN, 0};
    polled[1] = (struct pollfd){socket_of(AF_INET, gso), POLLIN, 0};
    check(bind(polled[0].fd, (struct sockaddr *)&v6, sizeof v6), "bind");
    check(bind(polled[1].fd, (struct sockaddr *)&v4, sizeof v4), "bind");
    for (;;) {
        int segments[BATCH], count;
        poll(polled, 2, -1);
        for (int at = 0; at < 2; at++) {
            if ((count = take(polled[at].fd, segments)) <= 0) continue;
            for (int one = 0; one < count; one++) prepare(one, headers[one].msg_len, segments[one], 1);
            send_all(polled[at].fd, count);
        }
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void ask(int port, int flows, int window, int size, int gso, double seconds) {
    struct pollfd polled[FLOWS];
    int wanted[FLOWS];
    double heard[FLOWS], end = now() + seconds;
    long round_trips = 0, lost = 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int at = 0; at < flows; at++) {
        polled[at] = (struct pollfd){socket_of(AF_INET, gso), POLLIN, 0};
        check(connect(polled[at].fd, (struct sockaddr *)&to, sizeof to), "connect");
        wanted[at] = window, heard[at] = now();
    }
    while (now() < end) {
        for (int at = 0; at < flows; at++) {
            int segments[BATCH], count = take(polled[at].fd, segments);
            for (int one = 0; one < count; one++) {
                int came = segments[one] ? (headers[one].msg_len + segments[one] - 1) / segments[one] : 1;
                wanted[at] += came, round_trips += came, heard[at] = now();
            }
            if (now() - heard[at] > 0.2) lost += window - wanted[at], wanted[at] = window, heard[at] = now();
            if (wanted[at] > window) wanted[at] = window;
            if (gso && wanted[at] == window) {
                prepare(0, (size_t)window * size, size, 0);
                send_all(polled[at].fd, 1);
                wanted[at] = 0;
            } else if (!gso && wanted[at] > 0) {
                for (int one = 0; one < wanted[at]; one++) prepare(one, size, 0, 0);
                send_all(polled[at].fd, wanted[at]);
                wanted[at] = 0;
            }
        }
        poll(polled, flows, 10);
    }
    printf("%ld %ld\n", round_trips, lost);
}

int main(int count, char **words) {
    if (count == 4 && !strcmp(words[1], "echo")) echo(atoi(words[2]), atoi(words[3]));
    if (count == 8 && !strcmp(words[1], "ask") && atoi(words[3]) <= FLOWS && atoi(words[4]) <= BATCH)
        return ask(atoi(words[2]), atoi(words[3]), atoi(words[4]), atoi(words[5]), atoi(words[6]), atoi(words[7]) / 1000.0), 0;
    fprintf(stderr, "usage: udp_load echo PORT GSO | ask PORT FLOWS WINDOW SIZE GSO MILLISECONDS\n");
    return 2;
}
