/* https, against a server of Python's. Its certificate is for localhost alone,
 * signed by itself and good until 2126; the key is no secret. */
#include "config.h"

#include "unit/suite.h"

#include <errno.h>
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

/* Of somebody else. */
static const char other_certificate[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBdjCCAR2gAwIBAgIUJgrX9qciVihUB9QK4NtYY1q53zIwCgYIKoZIzj0EAwIw\n"
    "EDEOMAwGA1UEAwwFb3RoZXIwIBcNMjYxMTIyMDMwNjA4WhgPMjEyNjEwMjkwMzA2\n"
    "MDhaMBAxDjAMBgNVBAMMBW90aGVyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n"
    "Omwj95ae4VIyGqWvI2vat81J3ch5k8Fjuu9lX/VFp+78aa6Ux1V6b2SBvyJdlY/5\n"
    "qkt/QGjtxcJ3x9cehgEKi6NTMFEwHQYDVR0OBBYEFL2OB1QdOOwngylxBjb9vQhd\n"
    "Y8mgMB8GA1UdIwQYMBaAFL2OB1QdOOwngylxBjb9vQhdY8mgMA8GA1UdEwEB/wQF\n"
    "MAMBAf8wCgYIKoZIzj0EAwIDRwAwRAIgdrE5NWQQqKPF1zbQagTEUX0m3gXt2Ozt\n"
    "lzfInTMEe4wCIBoSwVIp9x2idjE8DKb3jDisxYsJkOPpiMozlx9UiVuR\n"
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
static char pem[64], other_pem[64], ca_pem[64];
static pid_t server;
static unsigned port;
static struct world world;

static void
write_file(char path[64], const char *name, const char *text)
{
	FILE *f;

	snprintf(path, 64, "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void
begin(void)
{
	int fds[2];
	FILE *f;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	write_file(pem, "c.pem", certificate);
	write_file(other_pem, "other.pem", other_certificate);
	write_file(ca_pem, "ca.pem", other_certificate);
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
	unlink(other_pem);
	unlink(ca_pem);
	rmdir(dir);
}

static char url[64];

static void
open_world(const char *host)
{
	snprintf(url, sizeof url, "https://%s:%u", host, port);
	world_open(&world, url);
}

/* The same of an origin that says itself whom it trusts. */
static void
open_world_with(const char *host, char *ca_file, bool verify)
{
	const char *urls[] = { url };

	snprintf(url, sizeof url, "https://%s:%u", host, port);
	world_init(&world, urls, 1);
	world.cfg.tls_ca_file = ca_file;
	world.cfg.tls_verify = verify;
	ck_assert_int_eq(origin_client_new(world.loop, NULL, &world.cfg, &world.stats, &world.client), 0);
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

START_TEST(a_ca_file_is_trusted_and_nothing_else)
{
	begin();
	setenv("SSL_CERT_FILE", "/nonexistent/c.pem", 1);
	open_world_with("localhost", pem, true);
	check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	world_close(&world);
	setenv("SSL_CERT_FILE", pem, 1);
	open_world_with("localhost", other_pem, true);
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: SSL");
	world_close(&world);
	end();
}
END_TEST

START_TEST(a_ca_file_that_changed_is_read_anew)
{
	begin();
	open_world_with("localhost", ca_pem, true);
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: SSL");
	ck_assert_int_eq(rename(pem, ca_pem), 0);
	check_failed(world_get(&world, "user:1", LONG_MS), "origin users: SSL");
	world_close(&world);
	open_world_with("localhost", ca_pem, true);
	check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	world_close(&world);
	end();
}
END_TEST

START_TEST(without_verification_anybody_is_taken)
{
	begin();
	setenv("SSL_CERT_FILE", "/nonexistent/c.pem", 1);
	open_world_with("127.0.0.1", NULL, false);
	check_ok(world_get(&world, "user:1", LONG_MS), "ok");
	world_close(&world);
	end();
}
END_TEST

static void
check_unprepared(const struct config_origin *cfg, const char *why)
{
	char err[512] = "", wanted[256];

	snprintf(wanted, sizeof wanted, "origin users: tls: %s", why);
	ck_assert_int_eq(origin_prepare(&(struct config){ .origins = (struct config_origin *)cfg,
	    .n_origins = 1 }, err, sizeof err), -EINVAL);
	ck_assert_str_eq(err, wanted);
}

START_TEST(a_file_that_is_missing_or_wrong_is_told_at_start)
{
	static char here[] = "/dev/null", gone[] = "/nonexistent/c.pem", folder[] = "/tmp";
	char *urls[] = { (char *)"http://a", (char *)"https://b" };
	struct config_origin cfg = { .name = (char *)"users", .endpoints = urls,
		.n_endpoints = 2, .tls_verify = 1, .tls_ca_file = gone };

	check_unprepared(&cfg, "ca_file /nonexistent/c.pem: No such file or directory");
	cfg.tls_ca_file = folder;
	check_unprepared(&cfg, "ca_file /tmp: Is a directory");
	cfg.tls_ca_file = here;
	check_unprepared(&cfg, "ca_file /dev/null: no certificate in it that can be read; PEM is wanted");
	cfg.tls_ca_file = NULL;
	cfg.tls_cert_file = gone;
	check_unprepared(&cfg, "cert_file /nonexistent/c.pem: No such file or directory");
	cfg.tls_cert_file = here;
	cfg.tls_key_file = gone;
	check_unprepared(&cfg, "key_file /nonexistent/c.pem: No such file or directory");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tls");

	SUITE_ADD(s, "tls", a_certificate_that_is_trusted_is_taken,
	    a_certificate_of_another_name_is_refused,
	    a_certificate_that_nobody_signed_is_refused, without_certificates_nothing_is_trusted,
	    a_ca_file_is_trusted_and_nothing_else, a_ca_file_that_changed_is_read_anew,
	    without_verification_anybody_is_taken,
	    a_file_that_is_missing_or_wrong_is_told_at_start);
	return suite_main(s);
}
