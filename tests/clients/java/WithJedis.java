import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import org.apache.commons.pool2.impl.GenericObjectPoolConfig;
import org.newsclub.net.unix.AFUNIXSocket;
import org.newsclub.net.unix.AFUNIXSocketAddress;

import redis.clients.jedis.Connection;
import redis.clients.jedis.ConnectionFactory;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisClientConfig;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.JedisSocketFactory;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Protocol;
import redis.clients.jedis.RedisClient;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.args.ExpiryOption;
import redis.clients.jedis.csc.Cache;
import redis.clients.jedis.csc.CacheConfig;
import redis.clients.jedis.csc.CacheFactory;
import redis.clients.jedis.exceptions.JedisAccessControlException;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.GetExParams;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.providers.PooledConnectionProvider;
import redis.clients.jedis.resps.ScanResult;

/** jedis, through a socket factory: what its users do. */
public final class WithJedis {
    private static final JedisSocketFactory SOCKETS = sockets(Claims.SOCKET);

    private static JedisSocketFactory sockets(String path) {
        return () -> {
            try {
                return AFUNIXSocket.connectTo(AFUNIXSocketAddress.of(new File(path)));
            } catch (IOException e) {
                throw new JedisConnectionException(e);
            }
        };
    }

    private static JedisClientConfig config(RedisProtocol protocol) {
        return DefaultJedisClientConfig.builder().protocol(protocol).clientName("claims").build();
    }

    private static Jedis connect() {
        return new Jedis(SOCKETS, config(RedisProtocol.RESP3));
    }

    private static RedisClient pool() {
        GenericObjectPoolConfig<Connection> size = new GenericObjectPoolConfig<>();
        size.setMaxTotal(50);
        size.setMinIdle(50);
        return RedisClient.builder().connectionProvider(new PooledConnectionProvider(
                new ConnectionFactory(SOCKETS, config(RedisProtocol.RESP3)), size)).build();
    }

    private static void tells(Jedis r, RedisProtocol protocol) {
        Claims.equal(r.ping(), "PONG");
        Claims.isIn("redis_version:7.0", r.info("server"));
        for (String part : List.of(" name=claims ", " resp=" + protocol.version() + " ",
                " lib-name=jedis", " lib-ver=8."))
            Claims.isIn(part, r.clientInfo());
        Claims.equal(r.clientGetname(), "claims");
        Claims.equal(r.configGet("maxmemory-policy").get("maxmemory-policy"), "allkeys-lru");
        Claims.equal(r.commandInfo("get").get("get").getArity(), 2L);
    }

    private static void everyday(Jedis r) {
        r.flushAll();
        Claims.equal(r.set("k", "v"), "OK");
        Claims.equal(r.get("k"), "v");
        Claims.equal(r.get("gone"), null);
        Claims.equal(r.set("k", "w", SetParams.setParams().nx().ex(100)), null);
        Claims.equal(r.set("k", "w", SetParams.setParams().xx().ex(100)), "OK");
        Claims.equal(r.setGet("k", "x", SetParams.setParams().keepTtl()), "w");
        Claims.equal(r.ttl("k"), 100L);
        Claims.equal(r.mset("a", "1", "b", "two"), "OK");
        Claims.equal(r.mget("a", "b", "gone"), Arrays.asList("1", "two", null));
        Claims.equal(List.of(r.incr("n"), r.incrBy("n", 5), r.decr("n")), List.of(1L, 6L, 5L));
        Claims.equal(r.incrByFloat("n", 0.5), 5.5);
        Claims.equal(r.exists("a", "b", "gone"), 2L);
        Claims.equal(r.expire("a", 10), 1L);
        Claims.equal(r.expire("a", 5, ExpiryOption.GT), 0L);
        Claims.equal(r.getEx("a", GetExParams.getExParams().persist()), "1");
        Claims.equal(r.getDel("n"), "5.5");
        Claims.equal(r.del("a", "b", "gone"), 2L);
        Claims.equal(r.type("k"), "string");
        Claims.equal(r.dbSize(), 1L);
    }

    private static void scans(Jedis r) {
        r.flushAll();
        for (int i = 0; i < 1000; i++)
            r.set("user:" + i, "1");
        Set<String> seen = new HashSet<>();
        String cursor = ScanParams.SCAN_POINTER_START;
        do {
            ScanResult<String> some = r.scan(cursor, new ScanParams().match("user:*").count(50));
            seen.addAll(some.getResult());
            cursor = some.getCursor();
        } while (!cursor.equals(ScanParams.SCAN_POINTER_START));
        Claims.equal(seen.size(), 1000);
    }

    private static void pipelines(Jedis r) {
        Pipeline p = r.pipelined();
        List<Response<String>> said = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            p.set("k" + i, String.valueOf(i));
            said.add(p.get("k" + i));
        }
        p.sync();
        for (int i = 0; i < 2000; i++)
            Claims.equal(said.get(i).get(), String.valueOf(i));
    }

    private static void transactions(Jedis r) {
        Transaction t = r.multi();
        Response<String> set = t.set("n", "5");
        Response<Long> n = t.incr("n");
        Claims.equal(t.exec(), List.of("OK", 6L));
        Claims.equal(set.get() + n.get(), "OK6");
        r.watch("n");
        try (Jedis other = connect()) {
            other.incr("n");
        }
        t = r.multi();
        t.set("n", "mine");
        Claims.equal(t.exec(), null);
        Claims.equal(r.get("n"), "7");
    }

    private static void values(Jedis r) {
        byte[] large = Claims.large(), key = Arrays.copyOf(large, 1024);
        Claims.equal(r.set(key, large), "OK");
        Claims.equal(r.get(key), large);
        Claims.equal(r.set("grüße", "schöne"), "OK");
        Claims.equal(r.get("grüße".getBytes(UTF_8)), "schöne".getBytes(UTF_8));
    }

    private static void published(Jedis r) throws Exception {
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        JedisPubSub listener = new JedisPubSub() {
            @Override
            public void onSubscribe(String channel, int count) {
                heard.add("subscribed " + channel);
            }

            @Override
            public void onMessage(String channel, String message) {
                heard.add(channel + " " + message);
                unsubscribe();
            }
        };
        Thread thread = new Thread(() -> {
            try (Jedis sub = connect()) {
                sub.subscribe(listener, "news");
            }
        });
        thread.start();
        Claims.equal(heard.poll(20, TimeUnit.SECONDS), "subscribed news");
        Claims.equal(r.publish("news", "hello"), 1L);
        Claims.equal(heard.poll(20, TimeUnit.SECONDS), "news hello");
        thread.join();
    }

    private static void refusals(Jedis r) {
        r.set("text", "x");
        Claims.fails(JedisDataException.class, "ERR value is not an integer or out of range",
                () -> r.incr("text"));
        Claims.fails(JedisDataException.class,
                "ERR unknown command 'LPUSH', with args beginning with: 'l' 'x'", () -> r.lpush("l", "x"));
        Claims.fails(JedisDataException.class, "ERR wrong number of arguments for 'get' command",
                () -> r.sendCommand(Protocol.Command.GET));
        Claims.fails(JedisDataException.class, "ERR DB index is out of range", () -> r.select(1));
        Claims.equal(r.get("text"), "x");
    }

    private static void password(RedisProtocol protocol) throws Exception {
        for (String given : List.of("", "x", Claims.PASSWORD)) {
            DefaultJedisClientConfig.Builder how = DefaultJedisClientConfig.builder().protocol(protocol);
            JedisClientConfig config = (given.isEmpty() ? how : how.password(given)).build();
            Claims.Test test = () -> {
                try (Jedis r = new Jedis(sockets(Claims.GUARDED), config)) {
                    Claims.equal(r.set("k", "v"), "OK");
                }
            };
            if (given.equals(Claims.PASSWORD))
                test.run();
            else
                Claims.fails(JedisAccessControlException.class, given.isEmpty() ? "NOAUTH" : "WRONGPASS", test);
        }
    }

    private static void many() throws Exception {
        try (RedisClient r = pool()) {
            r.del("n");
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 50; i++)
                threads.add(new Thread(() -> {
                    for (int j = 0; j < 20; j++)
                        r.incr("n");
                }));
            threads.forEach(Thread::start);
            for (Thread thread : threads)
                thread.join();
            Claims.equal(r.get("n"), "1000");
        }
    }

    /** What it has read stays with it, until it changes. */
    private static void caches() throws Exception {
        try (Jedis other = connect()) {
            other.configSet("redis_version", "7.4.0"); // it asks for no older one
            Cache cache = CacheFactory.getCache(CacheConfig.builder().maxSize(100).build());
            try (RedisClient r = RedisClient.builder().connectionProvider(new PooledConnectionProvider(
                    ConnectionFactory.builder().socketFactory(SOCKETS).cache(cache)
                    .clientConfig(config(RedisProtocol.RESP3)).build())).cache(cache).build()) {
                other.set("k", "1");
                keeps(r, other, "1");
                other.incr("k");
                keeps(r, other, "2");
                other.del("k");
                Claims.until(() -> r.get("k") == null);
                other.set("k", "3", SetParams.setParams().px(50));
                Claims.until(() -> r.get("k") == null);
                other.set("k", "4");
                keeps(r, other, "4");
                other.flushAll();
                Claims.until(() -> r.get("k") == null);
            }
            other.configSet("redis_version", "7.0.15");
        }
    }

    private static void keeps(RedisClient r, Jedis other, String value) throws Exception {
        Claims.until(() -> value.equals(r.get("k")));
        String before = Claims.gets(other.info("commandstats"));
        for (int i = 0; i < 100; i++)
            Claims.equal(r.get("k"), value);
        Claims.equal(Claims.gets(other.info("commandstats")), before);
    }

    private static void comesBack() throws Exception {
        try (RedisClient r = pool()) {
            r.set("k", "v");
            Claims.ask("stop");
            Claims.fails(JedisConnectionException.class, "", () -> r.get("k"));
            Claims.ask("start");
            Claims.equal(r.get("k"), null);
            Claims.equal(r.set("k", "w") + r.get("k"), "OKw");
        }
    }

    public static void main(String[] args) {
        for (RedisProtocol protocol : List.of(RedisProtocol.RESP2, RedisProtocol.RESP3)) {
            String name = protocol + ", ";
            try (Jedis r = new Jedis(SOCKETS, config(protocol))) {
                Claims.claim(name + "it says who it is and asks who we are", () -> tells(r, protocol));
                Claims.claim(name + "everyday commands", () -> everyday(r));
                Claims.claim(name + "SCAN gives every key", () -> scans(r));
                Claims.claim(name + "pipelines", () -> pipelines(r));
                Claims.claim(name + "MULTI and WATCH", () -> transactions(r));
                Claims.claim(name + "binary and large values", () -> values(r));
                Claims.claim(name + "publish and subscribe", () -> published(r));
                Claims.claim(name + "errors are its exceptions", () -> refusals(r));
                Claims.claim(name + "a password is asked for", () -> password(protocol));
            }
        }
        Claims.claim("client-side caching", WithJedis::caches);
        Claims.claim("a pool of fifty connections", WithJedis::many);
        Claims.claim("it comes back when the daemon does", WithJedis::comesBack);
    }

    private WithJedis() {
    }
}
