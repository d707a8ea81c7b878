/*
 * log.c - one line for each thing worth knowing, on stderr.
 */
#include "serve.h"

#include <ctype.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* say_often: so many at once, and a second. */
#define BURST 20
#define RATE  10

static struct {
	enum engine_log level;
	enum log_format format;
	const char *who;
	bool journal; /* it wants levels, and knows the time */
} state = {.level = ENGINE_INFO, .who = "server"};

static struct {
	pthread_mutex_t lock;
	uint64_t at_ms;
	uint64_t tokens; /* thousandths */
	uint64_t left_out;
} bucket = {.lock = PTHREAD_MUTEX_INITIALIZER, .tokens = BURST * 1000};

static const char *const level_name[] = {"error", "warning", "info", "debug"};

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* $JOURNAL_STREAM names the device and inode of what systemd connected to stderr. */
static bool to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_begin(const struct serve_options *o, const char *who)
{
	state.level = o->level;
	state.format = o->format;
	state.who = who;
	state.journal = to_journal();
}

const char *log_clean(char *text)
{
	for (char *c = text; *c; c++)
		if (iscntrl((unsigned char)*c))
			*c = '?';
	return text;
}

static void print_json(enum engine_log level, const char *text)
{
	struct json_object *line = json_object_new_object();
	struct timespec t;
	struct tm tm;
	char time[64];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	n = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time + n, sizeof(time) - n, ".%03ldZ", t.tv_nsec / 1000000);
	json_object_object_add(line, "time", json_object_new_string(time));
	json_object_object_add(line, "level", json_object_new_string(level_name[level]));
	json_object_object_add(line, "process", json_object_new_string(state.who));
	json_object_object_add(line, "pid", json_object_new_int(getpid()));
	json_object_object_add(line, "message", json_object_new_string(text));
	dprintf(STDERR_FILENO, "%s\n",
		json_object_to_json_string_ext(line, JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(line);
}

static void print(enum engine_log level, const char *text)
{
	/* As <3> to <7> of syslog. */
	static const char priority[] = "3467";

	if (state.format == LOG_JSON)
		print_json(level, text);
	else if (state.journal)
		dprintf(STDERR_FILENO, "<%c>%s\n", priority[level], text);
	else
		dprintf(STDERR_FILENO, "userfault: %s%s\n",
			level == ENGINE_WARNING ? "warning: " : "", text);
}

static void say_args(enum engine_log level, const char *format, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	print(level, log_clean(text));
}

void say(enum engine_log level, const char *format, ...)
{
	va_list args;

	if (level > state.level)
		return;
	va_start(args, format);
	say_args(level, format, args);
	va_end(args);
}

/* Is there room for a line? And how many had none since the last one. */
static bool take(uint64_t *left_out)
{
	uint64_t now = now_ms();
	bool room;

	pthread_mutex_lock(&bucket.lock);
	if (bucket.at_ms)
		bucket.tokens += (now - bucket.at_ms) * RATE;
	bucket.at_ms = now;
	if (bucket.tokens > BURST * 1000)
		bucket.tokens = BURST * 1000;
	room = bucket.tokens >= 1000;
	*left_out = room ? bucket.left_out : 0;
	if (room) {
		bucket.tokens -= 1000;
		bucket.left_out = 0;
	} else {
		bucket.left_out++;
	}
	pthread_mutex_unlock(&bucket.lock);
	return room;
}

void say_often(enum engine_log level, const char *format, ...)
{
	uint64_t left_out;
	va_list args;

	if (level > state.level)
		return;
	/* Who wants to see everything is not spared anything. */
	left_out = 0;
	if (state.level < ENGINE_DEBUG && !take(&left_out))
		return;
	if (left_out)
		say(ENGINE_WARNING, "%ju lines like the next were left out", (uintmax_t)left_out);
	va_start(args, format);
	say_args(level, format, args);
	va_end(args);
}

void log_of_engine(void *arg, enum engine_log level, const char *text)
{
	(void)arg;
	if (level <= ENGINE_INFO)
		say_often(level, "%s", text);
	else
		say(level, "%s", text);
}
