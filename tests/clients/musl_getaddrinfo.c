/* The resolver of musl, the C library of Alpine: musl_getaddrinfo NAME PORT COUNT */

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void report(const char *kind, int number, const char *message)
{
	if (number)
		printf("{\"ok\":false,\"error_type\":\"%s\",\"errno\":%d,\"message\":\"%s\"}\n", kind, number, message);
	else
		printf("{\"ok\":%s,\"error_type\":\"%s\",\"errno\":null,\"message\":\"%s\"}\n", *kind ? "false" : "true",
		       kind, message);
	fflush(stdout);
}

static void attempt(const char *name, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	/* A connect() ends by the timeout for sending. */
	struct timeval timeout = {.tv_sec = 5};
	int code = getaddrinfo(name, port, &hints, &list), number = 0;

	if (code) {
		report("getaddrinfo", code == EAI_SYSTEM ? errno : 0, gai_strerror(code));
		return;
	}
	for (struct addrinfo *one = list; one; one = one->ai_next) {
		int fd = socket(one->ai_family, one->ai_socktype, one->ai_protocol);

		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
		number = connect(fd, one->ai_addr, one->ai_addrlen) ? errno : 0;
		close(fd);
		if (!number)
			break;
	}
	freeaddrinfo(list);
	report(number ? "connect" : "", number, number ? strerror(number) : "");
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	for (int left = atoi(argv[3]); left > 0; left--)
		attempt(argv[1], argv[2]);
	return 0;
}
