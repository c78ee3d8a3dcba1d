/* https, against a server of Python's. Its certificate is for localhost alone,
 * signed by itself and good until 2126; the key is no secret. */
#include "config.h"

#include "unit/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/origin/world.h"

static const char certificate[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPn10/FV4XH13g4Ly\n"
    "+8blIe4j/E7QmfPpDOkuZWTMwuyhRANCAARquiw00MnJyrVC50fE1iBf62F+VJP+\n"
    "hxiYnNdMnBsnyAu9MfjCifcBOmcZv/ZR3WpRMU24GXqPyMYJkZENyq6/\n"
    "-----END PRIVATE KEY-----\n"
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBlTCCATugAwIBAgIUIJTZTxh8wvZ2aFwPCJwEPpRd8b4wCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIxNDkyN1oYDzIxMjYxMDI4\n"
    "MjE0OTI3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwNCAARquiw00MnJyrVC50fE1iBf62F+VJP+hxiYnNdMnBsnyAu9MfjCifcB\n"
    "OmcZv/ZR3WpRMU24GXqPyMYJkZENyq6/o2kwZzAdBgNVHQ4EFgQUt3ASn0/3c9Qg\n"
    "F6oiKLPoHFqDuK0wHwYDVR0jBBgwFoAUt3ASn0/3c9QgF6oiKLPoHFqDuK0wDwYD\n"
    "VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID\n"
    "SAAwRQIhAODN6wE8mEbA+jnacrALFzgunnsAK2TC+b5gEyO+tYRrAiBQG+EOjnfz\n"
    "ntTDWyHZ6EsuuFhR5USSABxxC44+ejBhHg==\n"
    "-----END CERTIFICATE-----\n";

static const char server_text[] =
    "import socket, ssl, sys\n"
    "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "context.load_cert_chain(sys.argv[1])\n"
    "listener = socket.create_server(('127.0.0.1', 0))\n"
    "print(listener.getsockname()[1], flush=True)\n"
    "while True:\n"
    "    try:\n"
    "        with context.wrap_socket(listener.accept()[0], server_side=True) as s:\n"
    "            while s.recv(65536):\n"
    "                s.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok')\n"
    "    except OSError:\n"
    "        pass\n";

static char dir[] = "/tmp/pannier-test-XXXXXX";
static char pem[64];
static pid_t server;
static unsigned port;
static struct world world;

static void
begin(void)
{
	int fds[2];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(pem, sizeof pem, "%s/c.pem", dir);
	f = fopen(pem, "w");
	fputs(certificate, f);
	fclose(f);
	ck_assert_int_eq(pipe(fds), 0);
	server = fork();
	if (server == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execlp("python3", "python3", "-c", server_text, pem, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	f = fdopen(fds[0], "r");
	ck_assert_int_eq(fscanf(f, "%u", &port), 1);
	fclose(f);
}

static void
end(void)
{
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(pem);
	rmdir(dir);
}

static void
open_world(const char *host)
{
	static char url[64];

	snprintf(url, sizeof url, "https://%s:%u", host, port);
	world_open(&world, url);
}

START_TEST(a_certificate_that_is_trusted_is_taken)
{
	begin();
	setenv("SSL_CERT_FILE", pem, 1);
	open_world("localhost");
	for (int i = 0; i < 3; i++)
		check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	world_close(&world);
	end();
}
END_TEST

START_TEST(a_certificate_of_another_name_is_refused)
{
	begin();
	setenv("SSL_CERT_FILE", pem, 1);
	open_world("127.0.0.1");
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: SSL");
	world_close(&world);
	end();
}
END_TEST

START_TEST(a_certificate_that_nobody_signed_is_refused)
{
	begin();
	unsetenv("SSL_CERT_FILE");
	open_world("localhost");
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: SSL");
	world_close(&world);
	end();
}
END_TEST

START_TEST(without_certificates_nothing_is_trusted)
{
	begin();
	setenv("SSL_CERT_FILE", "/nonexistent/c.pem", 1);
	open_world("localhost");
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: SSL");
	world_close(&world);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tls");

	SUITE_ADD(s, "tls", a_certificate_that_is_trusted_is_taken,
	    a_certificate_of_another_name_is_refused,
	    a_certificate_that_nobody_signed_is_refused, without_certificates_nothing_is_trusted);
	return suite_main(s);
}
