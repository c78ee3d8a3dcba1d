import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.KeyScanCursor;
import io.lettuce.core.KeyValue;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.RedisConnectionException;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.ScanCursor;
import io.lettuce.core.SetArgs;
import io.lettuce.core.TrackingArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.async.RedisAsyncCommands;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.ByteArrayCodec;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.pubsub.StatefulRedisPubSubConnection;
import io.lettuce.core.support.caching.CacheAccessor;
import io.lettuce.core.support.caching.CacheFrontend;
import io.lettuce.core.support.caching.ClientSideCaching;

/** lettuce, with netty's native sockets: what its users do. */
public final class WithLettuce {
    private static final RedisURI WHERE = RedisURI.builder(RedisURI.Builder.socket(Claims.SOCKET).build())
            .withClientName("claims").withTimeout(Duration.ofSeconds(20)).build();

    private static RedisClient client(ProtocolVersion version) {
        RedisClient client = RedisClient.create();
        client.setOptions(ClientOptions.builder().protocolVersion(version).build());
        return client;
    }

    private static void everyday(RedisCommands<String, String> r, String protocol) {
        r.flushall();
        for (String part : List.of(" name=claims ", " resp=" + protocol + " ", " lib-name=Lettuce"))
            Claims.isIn(part, r.clientInfo());
        Claims.equal(r.set("k", "v"), "OK");
        Claims.equal(r.get("k"), "v");
        Claims.equal(r.get("gone"), null);
        Claims.equal(r.set("k", "w", SetArgs.Builder.nx().ex(100)), null);
        Claims.equal(r.set("k", "w", SetArgs.Builder.ex(100)), "OK");
        Claims.equal(r.ttl("k"), 100L);
        Claims.equal(r.mset(Map.of("a", "1", "b", "two")), "OK");
        Claims.equal(r.mget("a", "b", "gone"),
                Arrays.asList(KeyValue.just("a", "1"), KeyValue.just("b", "two"), KeyValue.empty("gone")));
        Claims.equal(List.of(r.incr("n"), r.incrby("n", 5), r.decr("n")), List.of(1L, 6L, 5L));
        Claims.equal(r.exists("a", "b", "gone"), 2L);
        Claims.equal(r.expire("a", 10), true);
        Claims.equal(r.del("a", "b", "gone"), 2L);
        Claims.equal(r.dbsize(), 2L);
        Claims.isIn("redis_version:7.0", r.info());
        Claims.fails(RedisCommandExecutionException.class, "ERR value is not an integer or out of range",
                () -> r.incr("k"));
        Claims.fails(RedisCommandExecutionException.class,
                "ERR unknown command 'LPUSH', with args beginning with: 'l' 'x'", () -> r.lpush("l", "x"));
    }

    private static void scans(RedisCommands<String, String> r) {
        r.flushall();
        for (int i = 0; i < 1000; i++)
            r.set("user:" + i, "1");
        int seen = 0;
        ScanCursor cursor = ScanCursor.INITIAL;
        do {
            KeyScanCursor<String> some = r.scan(cursor, ScanArgs.Builder.matches("user:*").limit(50));
            seen += some.getKeys().size();
            cursor = some;
        } while (!cursor.isFinished());
        Claims.equal(seen >= 1000, true);
    }

    /** All callers share one connection: their requests are a pipeline. */
    private static void sharesOne(StatefulRedisConnection<String, String> c) throws Exception {
        RedisAsyncCommands<String, String> r = c.async();
        List<RedisFuture<String>> said = new ArrayList<>();
        for (int i = 0; i < 2000; i++) {
            r.set("k" + i, String.valueOf(i));
            said.add(r.get("k" + i));
        }
        for (int i = 0; i < 2000; i++)
            Claims.equal(said.get(i).get(20, TimeUnit.SECONDS), String.valueOf(i));
    }

    private static void transactions(RedisCommands<String, String> r, RedisCommands<String, String> other) {
        r.set("n", "1");
        r.multi();
        r.incr("n");
        r.get("n");
        Claims.equal(r.exec().stream().toList(), List.of(2L, "2"));
        r.watch("n");
        other.set("n", "5");
        r.multi();
        r.set("n", "mine");
        Claims.equal(r.exec().wasDiscarded(), true);
    }

    private static void values(RedisClient client) {
        try (StatefulRedisConnection<byte[], byte[]> c = client.connect(ByteArrayCodec.INSTANCE, WHERE)) {
            byte[] large = Claims.large(), key = Arrays.copyOf(large, 1024);
            Claims.equal(c.sync().set(key, large), "OK");
            Claims.equal(c.sync().get(key), large);
        }
    }

    private static void published(RedisClient client, RedisCommands<String, String> r) throws Exception {
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        try (StatefulRedisPubSubConnection<String, String> c = client.connectPubSub(WHERE)) {
            c.addListener(new RedisPubSubAdapter<>() {
                @Override
                public void message(String channel, String message) {
                    heard.add(channel + " " + message);
                }
            });
            c.sync().subscribe("news");
            Claims.equal(r.publish("news", "hello"), 1L);
            Claims.equal(heard.poll(20, TimeUnit.SECONDS), "news hello");
        }
    }

    /** What it has read stays with it, until it changes. */
    private static void caches(RedisClient client, RedisCommands<String, String> other) throws Exception {
        try (StatefulRedisConnection<String, String> c = client.connect(WHERE)) {
            Map<String, String> kept = new ConcurrentHashMap<>();
            CacheFrontend<String, String> cache = ClientSideCaching.enable(CacheAccessor.forMap(kept), c,
                    TrackingArgs.Builder.enabled());
            other.set("k", "1");
            Claims.until(() -> "1".equals(cache.get("k")));
            String before = Claims.gets(other.info("commandstats"));
            for (int i = 0; i < 100; i++)
                Claims.equal(cache.get("k"), "1");
            Claims.equal(Claims.gets(other.info("commandstats")), before);
            other.incr("k");
            Claims.until(() -> "2".equals(cache.get("k")));
            other.del("k");
            Claims.until(kept::isEmpty);
        }
    }

    private static void password(RedisClient client) {
        RedisURI.Builder where = RedisURI.Builder.socket(Claims.GUARDED);
        for (String given : List.of("", "x"))
            Claims.fails(RedisConnectionException.class, "", () -> client.connect(
                    (given.isEmpty() ? where : where.withPassword(given.toCharArray())).build()).sync().ping());
        try (StatefulRedisConnection<String, String> c =
                client.connect(where.withPassword(Claims.PASSWORD.toCharArray()).build())) {
            Claims.equal(c.sync().set("k", "v"), "OK");
        }
    }

    private static void comesBack(RedisCommands<String, String> r) throws Exception {
        r.set("k", "v");
        Claims.ask("restart");
        Claims.equal(r.get("k"), null); // it has waited for the connection
        Claims.equal(r.set("k", "w") + r.get("k"), "OKw");
    }

    public static void main(String[] args) {
        for (ProtocolVersion version : List.of(ProtocolVersion.RESP2, ProtocolVersion.RESP3)) {
            String name = version + ", ", number = version.name().substring(4);
            RedisClient client = client(version);
            try (StatefulRedisConnection<String, String> c = client.connect(WHERE);
                    StatefulRedisConnection<String, String> other = client.connect(WHERE)) {
                Claims.claim(name + "everyday commands", () -> everyday(c.sync(), number));
                Claims.claim(name + "SCAN gives every key", () -> scans(c.sync()));
                Claims.claim(name + "one connection for many callers", () -> sharesOne(c));
                Claims.claim(name + "MULTI and WATCH", () -> transactions(c.sync(), other.sync()));
                Claims.claim(name + "binary and large values", () -> values(client));
                Claims.claim(name + "publish and subscribe", () -> published(client, c.sync()));
                Claims.claim(name + "a password is asked for", () -> password(client));
                Claims.claim(name + "it comes back when the daemon does", () -> comesBack(c.sync()));
            }
            if (version == ProtocolVersion.RESP3)
                try (StatefulRedisConnection<String, String> other = client.connect(WHERE)) {
                    Claims.claim(name + "client-side caching", () -> caches(client, other.sync()));
                }
            client.shutdown(0, 1, TimeUnit.SECONDS);
        }
    }

    private WithLettuce() {
    }
}
