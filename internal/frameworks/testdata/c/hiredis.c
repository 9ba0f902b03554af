// hiredis, the C client: replies of a pipeline, blocking commands, subscriptions.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <hiredis/hiredis.h>

static redisContext *connected(void) {
	struct timeval limit = {15, 0};
	redisContext *c = redisConnectWithTimeout(getenv("REDIS_HOST"), atoi(getenv("REDIS_PORT")), limit);
	if (c == NULL || c->err) {
		printf("not ok connect: %s\n", c ? c->errstr : "no memory");
		exit(1);
	}
	redisSetTimeout(c, limit);
	return c;
}

static void check(const char *name, int good, const redisContext *c, const redisReply *r) {
	if (good)
		printf("ok %s\n", name);
	else
		printf("not ok %s: %s\n", name, r && r->str ? r->str : c->err ? c->errstr : "another reply");
}

int main(void) {
	redisContext *c = connected(), *other = connected();
	redisReply *r;
	int good = 1, i;
	printf("version hiredis %d.%d.%d\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);

	r = redisCommand(c, "SET %s %b", "k", "a\r\n\0b", (size_t)5);
	r = redisCommand(c, "GET k");
	check("binary value", r && r->len == 5 && memcmp(r->str, "a\r\n\0b", 5) == 0, c, r);

	for (i = 0; i < 1000; i++)
		redisAppendCommand(c, i % 2 ? "INCR n%d" : "SET n%d 1", i / 2);
	for (i = 0; i < 1000 && good; i++)
		good = redisGetReply(c, (void **)&r) == REDIS_OK && (i % 2 ? r->integer == 2 : r->type == REDIS_REPLY_STATUS);
	check("pipeline of 1000", good, c, r);

	r = redisCommand(c, "MGET n0 n1 n499 none");
	check("mget", r && r->elements == 4 && r->element[3]->type == REDIS_REPLY_NIL && r->element[2]->str[0] == '2', c, r);

	redisAppendCommand(c, "BLPOP q1 q2 q3 q4 10");
	redisBufferWrite(c, NULL);
	redisCommand(other, "RPUSH q3 job");
	good = redisGetReply(c, (void **)&r) == REDIS_OK;
	check("blocking pop of several keys", good && r->elements == 2 && strcmp(r->element[1]->str, "job") == 0, c, r);

	r = redisCommand(c, "SUBSCRIBE news");
	redisCommand(other, "PUBLISH news hi");
	good = redisGetReply(c, (void **)&r) == REDIS_OK;
	check("subscription", good && r->elements == 3 && strcmp(r->element[2]->str, "hi") == 0, c, r);

	redisCommand(other, "MULTI");
	redisCommand(other, "SET t 1");
	redisCommand(other, "INCR t");
	r = redisCommand(other, "EXEC");
	check("transaction", r && r->elements == 2 && r->element[1]->integer == 2, other, r);

	r = redisCommand(other, "LPUSH t x");
	check("error", r && r->type == REDIS_REPLY_ERROR && strncmp(r->str, "WRONGTYPE", 9) == 0, other, r);
	return 0;
}
