// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into the programs of a kselftest: standard output goes out line by line, as the
 * kselftest runner has it (by stdbuf, where that is installed).
 *
 * A program whose output is a pipe would keep its lines back, and a child that it forks would
 * write them a second time.
 */
#include <stdio.h>

__attribute__((constructor)) static void lines(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}
