// SPDX-License-Identifier: GPL-2.0-only
/* The call by many threads at once. */
#include "contract.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define STACK_BYTES	(256u << 10)

static pthread_barrier_t start;
static _Atomic(uint64_t) ends_ms;
static atomic_bool unmet;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t last;
static uint32_t calls[THREADS_MAX];

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void *make_calls(void *argument)
{
	uint32_t *count = argument;

	pthread_mutex_lock(&lock);
	memory_map_again(call.test);
	memory_fill(call.test);
	memory_protect(call.test);
	call_prepare();
	pthread_mutex_unlock(&lock);
	pthread_barrier_wait(&start);
	do {
		int64_t result = call_again();

		(*count)++;
		if (!met(result)) {
			pthread_mutex_lock(&lock);
			if (!unmet)
				last = result;
			unmet = true;
			pthread_mutex_unlock(&lock);
		}
		release(result);
	} while (!unmet && now_ms() < ends_ms);
	return NULL;
}

void run_threads(const struct run *run)
{
	pthread_attr_t small;
	unsigned int threads = run->number[0], before, now, i;
	pthread_t thread[THREADS_MAX];

	before = count_descriptors();
	/* The stacks of all must not come near the objects: see memory.c. */
	if (pthread_attr_init(&small) || pthread_attr_setstacksize(&small, STACK_BYTES) ||
	    pthread_barrier_init(&start, NULL, threads + 1))
		trouble("no barrier for threads");
	for (i = 0; i < threads; i++) {
		int error = pthread_create(&thread[i], &small, make_calls, &calls[i]);

		if (error)
			trouble("no thread: %s", strerror(error));
	}
	ends_ms = now_ms() + run->number[1];
	pthread_barrier_wait(&start);
	for (i = 0; i < threads; i++) {
		pthread_join(thread[i], NULL);
		if (!calls[i])
			fail("a thread made no call");
	}
	now = count_descriptors();
	if (unmet) {
		judge_result(last);
		fail("by one of %u threads", threads);
	} else {
		/* All have met it: one more, for what is said and for what memory has. */
		last = call_again();
		judge(last);
		release(last);
	}
	/* How many depends on how many calls there were. */
	if (now > before)
		fail("more descriptors are open than before");
}
