/* senders PORT TIMES: asks redis by turns from two functions, which call the third one from frames of one size, to wait
 * 150 ms for a list that is named after whoever asks. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd;

__attribute__((noinline)) int ask(const char *name)
{
	char text[128], answer[64];
	int len = snprintf(text, sizeof(text), "*3\r\n$5\r\nBLPOP\r\n$%zu\r\n%s\r\n$4\r\n0.15\r\n", strlen(name), name);

	if (send(fd, text, (size_t)len, 0) != len || recv(fd, answer, sizeof(answer), 0) < 5)
		exit(1);
	return len;
}

__attribute__((noinline)) int asks_first(const char *name)
{
	return ask(name) + 1;
}

__attribute__((noinline)) int asks_second(const char *name)
{
	return ask(name) + 2;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int sum = 0;

	if (argc < 3)
		return 2;
	to.sin_port = htons((uint16_t)atoi(argv[1]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		return 1;
	/* at one place in the loop, so that who is called is all that differs */
	for (int i = 0; i < atoi(argv[2]); i++)
		sum += (i % 2 ? asks_second : asks_first)(i % 2 ? "second" : "first");
	return sum == 0;
}
