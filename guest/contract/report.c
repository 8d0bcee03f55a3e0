// SPDX-License-Identifier: GPL-2.0-only
/* What a case's child found. It lies in shared memory, so that it survives the child's death. */
#include "contract.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct report *report;

bool report_make(void)
{
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	return report != MAP_FAILED;
}

void report_clear(void)
{
	memset(report, 0, sizeof(*report));
}

static void say_list(const char *format, va_list list)
{
	char line[400];

	vsnprintf(line, sizeof(line), format, list);
	report->used += (size_t)snprintf(report->said + report->used,
					 sizeof(report->said) - report->used, "# %s\n", line);
	/* What was cut off ends the line all the same. */
	if (report->used >= sizeof(report->said)) {
		report->used = sizeof(report->said) - 1;
		report->said[report->used - 1] = '\n';
	}
}

void say(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say_list(format, list);
	va_end(list);
}

void fail(const char *format, ...)
{
	va_list list;

	report->failed = true;
	va_start(list, format);
	say_list(format, list);
	va_end(list);
}

void trouble(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(report->reason, sizeof(report->reason), format, list);
	va_end(list);
	report->verdict = VERDICT_ERROR;
	_exit(0);
}

void skip(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(report->reason, sizeof(report->reason), format, list);
	va_end(list);
	report->verdict = VERDICT_SKIP;
	_exit(0);
}

void finish(void)
{
	report->verdict = report->failed ? VERDICT_NOT_OK : VERDICT_OK;
	_exit(0);
}
