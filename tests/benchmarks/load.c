/* A crowd of event stream readers in one thread: opens connections, checks every event, measures how old it is.
 *
 * Commands on standard input, one a line; each is answered by a line of JSON:
 *   open GROUP COUNT PER_SECOND STALLED   open connections; a stalled one never reads
 *   storm GROUP COUNT PER_SECOND WAITING  open connections, each closed as soon as its first price is here; no more
 *                                         than WAITING wait for theirs at once (0: however many)
 *   browse GROUP COUNT PER_SECOND         open connections as browsers do: each comes back when its connection ends or
 *                                         is refused, after its last `retry:`, with the last id it saw
 *   close GROUP                           close those of a group
 *   clear                                 forget what was measured
 *   report GROUP                          what was measured
 *
 * A price event carries the moment of its making as its price (monotonic seconds with nine decimals) and its number as
 * its exchange_timestamp: an event counts when it is whole, and its number follows the last one's. Anything but a 200 with
 * text/event-stream is dead for good, as it is to a browser. "back" counts those who came back by quarters of a second.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GROUPS = 4, MOST = 65536, LINE = 700, SAMPLES = 6000000, QUARTERS = 480, ID = 48, RETRY_MS = 3000 };
enum state { FREE, CONNECTING, HEAD, SIZE, DATA, DATA_END, RAW };

struct reader {
    enum state state;
    int group, stalled, passing, counted, waiting, browser;
    long left, number;
    int64_t begun;
    int length;
    char line[LINE];
};

struct browser {
    int group, opened;
    long retry_ms;
    int64_t due; /* 0: it has a connection, or is dead */
    char last_id[ID];
};

struct group {
    long waiting, again, returned, back[QUARTERS];
    long asked, opened, open, joined, dead, refused, closed, first, events, gaps, repeats, broken;
    uint32_t *age, *wait;
    long ages, waits;
    int64_t finished;
};

static struct reader readers[MOST];
static struct group groups[GROUPS];
static struct browser browsers[MOST];
static int browser_count, away;
static int64_t cleared;
static struct { int group, stalled, passing, browsing; long left, waiting; double per_second; int64_t begun; long done; } opening;
static int poll_fd;
static struct sockaddr_in server;
static char request[512];

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void come_back_later(int browser) {
    struct browser *b = &browsers[browser];
    b->due = now_ns() + b->retry_ms * 1000000LL;
    away++;
}

static void settle(struct reader *r) {
    groups[r->group].waiting -= r->waiting;
    r->waiting = 0;
}

enum why { OURS, THEIRS, DEAD };

static void end(int fd, enum why why) {
    struct reader *r = &readers[fd];
    if (r->state == FREE) return;
    settle(r);
    groups[r->group].open--;
    if (why != OURS) groups[r->group].closed++;
    if (why == THEIRS && r->browser >= 0) come_back_later(r->browser);
    r->state = FREE;
    close(fd);
}

static void refused(int group, int browser) {
    groups[group].refused++;
    if (browser >= 0) come_back_later(browser);
}

static void begin(int group, int browser, long place) {
    struct group *g = &groups[group];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || fd >= MOST) { refused(group, browser); if (fd >= 0) close(fd); return; }
    struct sockaddr_in local = {.sin_family = AF_INET};
    local.sin_addr.s_addr = htonl(0x7f000001 + (uint32_t)(place % 50)); /* 127.0.0.1 to .50 */
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &(int){1}, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    int stalled = browser < 0 && opening.stalled;
    if (stalled) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    bind(fd, (struct sockaddr *)&local, sizeof local);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS) {
        refused(group, browser);
        close(fd);
        return;
    }
    struct reader *r = &readers[fd];
    *r = (struct reader){.state = CONNECTING, .group = group, .browser = browser, .stalled = stalled, .waiting = 1,
                         .passing = browser < 0 && opening.passing, .number = -1, .begun = now_ns()};
    g->waiting++;
    struct epoll_event e = {.events = EPOLLOUT | EPOLLIN, .data.fd = fd};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e);
    g->opened++;
    g->open++;
}

static void joined(struct reader *r) {
    struct group *g = &groups[r->group];
    g->joined++;
    if (r->browser < 0) return;
    if (browsers[r->browser].opened++) {
        long quarter = (now_ns() - cleared) / 250000000LL;
        g->returned++;
        if (quarter < QUARTERS) g->back[quarter]++;
    }
}

/* Those whose pause is over try again. */
static void come_back(void) {
    static int64_t next;
    int64_t now = now_ns();
    if (!away || now < next) return;
    next = now + 5000000;
    for (int i = 0; i < browser_count; i++) {
        if (!browsers[i].due || browsers[i].due > now) continue;
        browsers[i].due = 0;
        away--;
        groups[browsers[i].group].again++;
        begin(browsers[i].group, i, i);
    }
}

static void price(struct reader *r, int64_t now) {
    struct group *g = &groups[r->group];
    char *stamp = strstr(r->line, "\"price\":"), *number = strstr(r->line, "\"exchange_timestamp\":");
    if (!stamp || !number || r->line[r->length - 1] != '}') {
        if (strstr(r->line, "\"kind\":") == NULL) g->broken++;
        return;
    }
    char *point;
    int64_t made = strtoll(stamp + 8, &point, 10) * 1000000000LL;
    int64_t scale = 100000000LL;
    for (point++; *point >= '0' && *point <= '9'; point++, scale /= 10) made += (*point - '0') * scale;
    long n = strtol(number + 21, NULL, 10);
    if (!r->counted) {
        r->counted = 1;
        settle(r);
        g->first++;
        g->finished = now;
        if (g->waits < SAMPLES) g->wait[g->waits++] = (uint32_t)((now - r->begun) / 1000);
    } else { /* the first is a snapshot, and as old as it is */
        if (r->number >= 0 && n <= r->number) g->repeats++;
        else if (r->number >= 0 && n != r->number + 1) g->gaps++;
        if (g->ages < SAMPLES) g->age[g->ages++] = (uint32_t)((now - made) / 1000);
        g->events++;
    }
    r->number = n;
}

static void line(struct reader *r, int64_t now) {
    r->line[r->length] = 0;
    if (r->length > 6 && memcmp(r->line, "data:", 5) == 0) price(r, now);
    else if (r->browser >= 0 && memcmp(r->line, "retry: ", 7) == 0) browsers[r->browser].retry_ms = atol(r->line + 7);
    else if (r->browser >= 0 && memcmp(r->line, "id: ", 4) == 0) snprintf(browsers[r->browser].last_id, ID, "%.*s", ID - 1, r->line + 4);
    r->length = 0;
}

static void body(struct reader *r, const char *at, long count, int64_t now) {
    while (count > 0) {
        const char *stop = memchr(at, '\n', (size_t)count);
        long part = stop ? stop - at : count;
        long keep = part < LINE - 1 - r->length ? part : LINE - 1 - r->length;
        memcpy(r->line + r->length, at, (size_t)keep);
        r->length += (int)keep;
        if (!stop) return;
        if (r->length && r->line[r->length - 1] == '\r') r->length--;
        line(r, now);
        at += part + 1;
        count -= part + 1;
    }
}

/* Gives 0 when the connection is of no use any more. */
static int head(struct reader *r, const char **at, const char *stop) {
    while (*at < stop) {
        if (r->length < LINE - 1) r->line[r->length++] = **at;
        char c = *(*at)++;
        if (c != '\n') continue;
        r->line[r->length] = 0;
        if (strncmp(r->line, "HTTP/1.1 ", 9) == 0 && strncmp(r->line + 9, "200", 3) != 0) return 0;
        if (strncasecmp(r->line, "transfer-encoding: chunked", 26) == 0) r->left = -1;
        if (strncasecmp(r->line, "content-type: ", 14) == 0 && strncasecmp(r->line + 14, "text/event-stream", 17) != 0) return 0;
        int empty = r->length <= 2;
        r->length = 0;
        if (empty) {
            r->state = r->left == -1 ? SIZE : RAW;
            r->left = 0;
            joined(r);
            return 1;
        }
    }
    return 1;
}

static int take(struct reader *r, const char *at, long count, int64_t now) {
    const char *stop = at + count;
    while (at < stop) {
        switch (r->state) {
        case HEAD:
            if (!head(r, &at, stop)) { groups[r->group].dead++; return 0; }
            break;
        case RAW:
            body(r, at, stop - at, now);
            return 1;
        case SIZE: {
            char c = *at++;
            if (c == '\n') { if (r->left == 0) return 0; r->state = DATA; }
            else if (c != '\r') r->left = r->left * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
            break;
        }
        case DATA: {
            long part = stop - at < r->left ? stop - at : r->left;
            body(r, at, part, now);
            at += part;
            r->left -= part;
            if (r->left == 0) r->state = DATA_END;
            break;
        }
        case DATA_END:
            if (*at++ == '\n') { r->state = SIZE; r->left = 0; }
            break;
        default:
            return 0;
        }
    }
    return 1;
}

static void ready(int fd, uint32_t events) {
    static char buffer[262144];
    struct reader *r = &readers[fd];
    if (r->state == FREE) return;
    if (r->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) { refused(r->group, r->browser); end(fd, OURS); return; }
        if (!(events & EPOLLOUT)) return;
        char text[640];
        const char *last_id = r->browser >= 0 ? browsers[r->browser].last_id : "";
        snprintf(text, sizeof text, "%s%s%s\r\n\r\n", request, *last_id ? "\r\nLast-Event-ID: " : "", last_id);
        if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) { end(fd, THEIRS); return; }
        r->state = HEAD;
        struct epoll_event e = {.events = r->stalled ? 0 : EPOLLIN, .data.fd = fd};
        epoll_ctl(poll_fd, EPOLL_CTL_MOD, fd, &e);
        return;
    }
    if (r->stalled) { end(fd, THEIRS); return; } /* nothing but an error or the end wakes it */
    long count = recv(fd, buffer, sizeof buffer, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    long dead = groups[r->group].dead;
    if (count <= 0 || !take(r, buffer, count, now_ns())) end(fd, groups[r->group].dead > dead ? DEAD : THEIRS);
    else if (r->passing && r->counted) end(fd, OURS);
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void spread(const char *name, uint32_t *v, long n) {
    qsort(v, (size_t)n, sizeof *v, by_size);
    printf(",\"%s\":{\"count\":%ld,\"p50\":%u,\"p99\":%u,\"max\":%u}", name, n, n ? v[n / 2] : 0, n ? v[n * 99 / 100] : 0, n ? v[n - 1] : 0);
}

static void report(int i) {
    struct group *g = &groups[i];
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf("{\"again\":%ld,\"returned\":%ld,\"asked\":%ld,\"opened\":%ld,\"open\":%ld,\"joined\":%ld,\"first\":%ld,\"dead\":%ld,\"refused\":%ld,\"closed\":%ld,\"events\":%ld,\"gaps\":%ld,\"repeats\":%ld,\"broken\":%ld,\"finished\":%.6f,\"cpu\":%.3f",
           g->again, g->returned, g->asked, g->opened, g->open, g->joined, g->first, g->dead, g->refused, g->closed, g->events, g->gaps, g->repeats, g->broken, g->finished / 1e9,
           u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
    spread("age", g->age, g->ages);
    spread("wait", g->wait, g->waits);
    int quarters = QUARTERS;
    while (quarters && !g->back[quarters - 1]) quarters--;
    printf(",\"back\":[");
    for (int q = 0; q < quarters; q++) printf("%s%ld", q ? "," : "", g->back[q]);
    printf("]}\n");
}

static void command(char *text) {
    int g = 0, stalled = 0;
    long count = 0, waiting = 0;
    double rate = 0;
    if (sscanf(text, "open %d %ld %lf %d", &g, &count, &rate, &stalled) == 4 || sscanf(text, "browse %d %ld %lf", &g, &count, &rate) == 3
        || sscanf(text, "storm %d %ld %lf %ld", &g, &count, &rate, &waiting) == 4) {
        opening.group = g;
        opening.stalled = stalled;
        opening.passing = text[0] == 's';
        opening.browsing = text[0] == 'b';
        opening.waiting = waiting;
        opening.left = count;
        opening.per_second = rate;
        opening.begun = now_ns();
        opening.done = 0;
        groups[g].asked += count;
        printf("{\"begun\":%.6f}\n", opening.begun / 1e9);
    } else if (sscanf(text, "close %d", &g) == 1) {
        for (int fd = 0; fd < MOST; fd++)
            if (readers[fd].state != FREE && readers[fd].group == g) end(fd, OURS);
        printf("{}\n");
    } else if (strncmp(text, "clear", 5) == 0) {
        cleared = now_ns();
        for (int i = 0; i < GROUPS; i++) {
            struct group *x = &groups[i];
            x->asked = x->opened = x->joined = x->dead = x->refused = x->closed = x->first = x->events = x->gaps = x->repeats = x->broken = 0;
            x->ages = x->waits = x->again = x->returned = 0;
            memset(x->back, 0, sizeof x->back);
        }
        printf("{}\n");
    } else if (sscanf(text, "report %d", &g) == 1) report(g);
    else exit(2);
    fflush(stdout);
}

static void keep_opening(void) {
    if (!opening.left) return;
    double due = (now_ns() - opening.begun) / 1e9 * opening.per_second;
    for (int burst = 0; opening.left && opening.done < due && burst < 100; burst++) {
        if (opening.waiting && groups[opening.group].waiting >= opening.waiting) return;
        int browser = opening.browsing && browser_count < MOST ? browser_count++ : -1;
        if (browser >= 0) browsers[browser] = (struct browser){.group = opening.group, .retry_ms = RETRY_MS};
        begin(opening.group, browser, opening.done);
        opening.done++;
        opening.left--;
    }
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (load)", argv[2]);
    for (int i = 0; i < GROUPS; i++) {
        groups[i].age = malloc(SAMPLES * sizeof(uint32_t));
        groups[i].wait = malloc(SAMPLES * sizeof(uint32_t));
    }
    poll_fd = epoll_create1(0);
    fcntl(0, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = 0}, found[512];
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &e);
    static char text[256];
    size_t length = 0;
    for (;;) {
        int count = epoll_wait(poll_fd, found, 512, opening.left || away ? 1 : 1000);
        for (int i = 0; i < count; i++) {
            if (found[i].data.fd != 0) { ready(found[i].data.fd, found[i].events); continue; }
            ssize_t n = read(0, text + length, sizeof text - 1 - length);
            if (n == 0) return 0;
            if (n < 0) continue;
            length += (size_t)n;
            text[length] = 0;
            text[length] = 0;
            char *stop;
            while ((stop = strchr(text, '\n'))) {
                *stop = 0;
                command(text);
                length -= (size_t)(stop + 1 - text);
                memmove(text, stop + 1, length + 1);
            }
        }
        keep_opening();
        come_back();
    }
}
