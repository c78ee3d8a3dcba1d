<?php
// php-redis: what its users do. Tells tests/integration/real.py.

$path = getenv('SOCKET');

function claim(string $name, callable $test): void
{
    try {
        $test();
        echo "ok $name\n";
    } catch (Throwable $e) {
        fwrite(STDERR, "$e\n");
        echo "not ok $name: ", preg_replace('/\s+/', ' ', $e->getMessage()), "\n";
    }
}

// Of the daemon: stop, start, restart. Comes back when it is done.
function ask(string $what): void
{
    echo "ask $what\n";
    if (fgets(STDIN) !== "done\n") {
        throw new Exception('the runner did not answer');
    }
}

function equal($got, $wanted): void
{
    if ($got !== $wanted) {
        throw new Exception(substr(var_export($got, true), 0, 300) . ', not ' .
            substr(var_export($wanted, true), 0, 300));
    }
}

function connect(): Redis
{
    global $path;
    $r = new Redis();
    $r->connect($path);
    return $r;
}

function everyday(Redis $r): void
{
    equal($r->flushAll(), true);
    equal($r->set('k', 'v'), true);
    equal($r->get('k'), 'v');
    equal($r->get('gone'), false);
    equal($r->set('k', 'w', ['nx', 'ex' => 100]), false);
    equal($r->set('k', 'w', ['xx', 'ex' => 100]), true);
    equal($r->ttl('k'), 100);
    equal($r->setex('e', 60, 'x'), true);
    equal($r->setnx('e', 'y'), false);
    equal($r->mset(['a' => 1, 'b' => 'two']), true);
    equal($r->mget(['a', 'b', 'gone']), ['1', 'two', false]);
    equal([$r->incr('n'), $r->incrBy('n', 5), $r->decr('n')], [1, 6, 5]);
    equal($r->incrByFloat('n', 0.5), 5.5);
    equal($r->append('b', '!'), 4);
    equal($r->getRange('b', 0, 1), 'tw');
    equal($r->exists(['a', 'b', 'gone']), 2);
    equal($r->expire('a', 10), true);
    equal($r->persist('a'), true);
    equal($r->getSet('a', 'new'), '1');
    equal($r->del('a', 'b', 'gone'), 2);
    equal($r->unlink('n'), 1);
    equal($r->type('k'), Redis::REDIS_STRING);
    equal($r->setBit('bits', 7, true), 0);
    equal($r->bitCount('bits'), 1);
    equal($r->dbSize(), 3);
    equal($r->rename('k', 'l'), true);
    equal($r->object('encoding', 'l'), 'embstr');
}

function scans(Redis $r): void
{
    $r->flushAll();
    for ($i = 0; $i < 1000; $i++) {
        $all["user:$i"] = '1';
    }
    $r->mset($all);
    $r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
    $cursor = null;
    $seen = [];
    while (($keys = $r->scan($cursor, 'user:*', 50)) !== false) {
        foreach ($keys as $key) {
            $seen[$key] = true;
        }
    }
    equal(count($seen), 1000);
    equal(count($r->keys('user:*')), 1000);
}

function pipelines(Redis $r): void
{
    $p = $r->multi(Redis::PIPELINE);
    for ($i = 0; $i < 2000; $i++) {
        $p->set("k$i", (string)$i)->get("k$i");
    }
    $said = $p->exec();
    for ($i = 0; $i < 2000; $i++) {
        equal([$said[2 * $i], $said[2 * $i + 1]], [true, (string)$i]);
    }
    equal($r->multi()->set('n', '5')->incr('n')->get('n')->exec(), [true, 6, '6']);
    $r->watch('n');
    connect()->incr('n');
    equal($r->multi()->set('n', 'mine')->exec(), false);
    equal($r->get('n'), '7');
}

function values(Redis $r): void
{
    $bytes = implode('', array_map('chr', range(0, 255)));
    $large = str_repeat($bytes, 4096);
    equal($r->set($bytes, $large), true);
    equal($r->get($bytes) === $large, true);
    $r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
    $r->setOption(Redis::OPT_PREFIX, 'app:');
    equal($r->set('object', ['a' => 1, 'b' => [2.5, null]]), true);
    equal($r->get('object'), ['a' => 1, 'b' => [2.5, null]]);
    $r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_NONE);
    $r->setOption(Redis::OPT_PREFIX, '');
    equal(strlen($r->get('app:object')) > 10, true);
}

function published(): void
{
    $child = pcntl_fork(); // the one who listens is blocked: another speaks
    if ($child === 0) {
        for ($r = connect(); $r->publish('news', 'hello') === 0;);
        posix_kill(getmypid(), SIGKILL); // without PHP's ways of ending
    }
    $sub = connect();
    $sub->setOption(Redis::OPT_READ_TIMEOUT, 20);
    $heard = [];
    try {
        $sub->psubscribe(['n*'], function ($redis, $pattern, $channel, $message) use (&$heard) {
            $heard = [$pattern, $channel, $message];
            $redis->close();
        });
    } catch (RedisException $e) { // there is no other way out
        equal($e->getMessage(), 'Connection closed');
    }
    pcntl_waitpid($child, $status);
    equal($heard, ['n*', 'news', 'hello']);
}

// It keeps a NUL behind the server's words.
function lastError(Redis $r): string
{
    $words = rtrim($r->getLastError(), "\0");
    $r->clearLastError();
    return $words;
}

function refusals(Redis $r): void
{
    $r->set('text', 'x');
    equal($r->incr('text'), false);
    equal(lastError($r), 'ERR value is not an integer or out of range');
    equal($r->lPush('l', 'x'), false);
    equal(lastError($r), "ERR unknown command 'LPUSH', with args beginning with: 'l' 'x' ");
    equal($r->select(1), false);
    equal(lastError($r), 'ERR DB index is out of range');
    equal($r->get('text'), 'x');
}

function password(): void
{
    $r = new Redis();
    $r->connect(getenv('GUARDED'));
    foreach (['get' => ['k'], 'auth' => ['x']] as $call => $args) {
        try {
            $r->$call(...$args);
            $words = 'nothing';
        } catch (RedisException $e) {
            $words = $e->getMessage();
        }
        $said[] = strtok($words, ' ');
    }
    equal($said, ['NOAUTH', 'WRONGPASS']);
    equal($r->auth(getenv('PASSWORD')), true);
    equal($r->set('k', 'v'), true);
}

function tells(Redis $r): void
{
    equal($r->ping(), true);
    equal($r->ping('here?'), 'here?');
    equal($r->client('setname', 'claims'), true);
    equal($r->client('getname'), 'claims');
    equal(array_column($r->client('list'), 'name'), ['claims']);
    equal(substr($r->info()['redis_version'], 0, 4), '7.0.');
    equal(isset($r->info('commandstats')['cmdstat_client|setname']), true);
    equal($r->config('GET', 'maxmemory-policy'), ['maxmemory-policy' => 'allkeys-lru']);
    equal(count($r->time()), 2);
}

// A session is kept where php.ini says: in the cache.
function session(string $savePath, bool $locked): void
{
    ini_set('redis.session.locking_enabled', $locked ? '1' : '0');
    ini_set('session.save_handler', 'redis');
    ini_set('session.save_path', $savePath);
    ini_set('session.use_cookies', '0');
    session_id('visitor');
    foreach ([1, 2, 3] as $visit) {
        session_start();
        $_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
        equal($_SESSION['visits'], $visit);
        equal(connect()->exists('PHPREDIS_SESSION:visitor_LOCK'), (int)$locked);
        session_write_close();
        equal(connect()->exists('PHPREDIS_SESSION:visitor_LOCK'), 0);
        $_SESSION = [];
    }
    $r = connect();
    equal($r->ttl('PHPREDIS_SESSION:visitor') > 1000, true);
    session_start();
    equal(session_destroy(), true);
    equal($r->exists('PHPREDIS_SESSION:visitor'), 0);
}

function many(): void
{
    for ($i = 0; $i < 50; $i++) {
        $all[] = connect();
    }
    $all[0]->del('n');
    for ($j = 0; $j < 20; $j++) {
        foreach ($all as $r) {
            $r->incr('n');
        }
    }
    equal($all[49]->get('n'), '1000');
}

function comesBack(): void
{
    $r = connect();
    $r->set('k', 'v');
    ask('restart');
    equal($r->get('k'), false);
    equal([$r->set('k', 'w'), $r->get('k')], [true, 'w']);
}

ob_start(); // a session starts before anything is printed
claim('sessions are kept', fn() => session("unix://$path", false));
claim('sessions are locked', fn() => session("unix://$path", true));
ob_end_flush();
ob_implicit_flush();
$r = connect();
claim('it says who it is and asks who we are', fn() => tells($r));
claim('everyday commands', fn() => everyday($r));
claim('SCAN gives every key', fn() => scans($r));
claim('pipelines, MULTI and WATCH', fn() => pipelines($r));
claim('binary and large values, prefix and serializer', fn() => values($r));
claim('publish and subscribe', fn() => published());
claim('errors are told', fn() => refusals($r));
claim('a password is asked for', fn() => password());
$r->close();
claim('fifty connections at once', fn() => many());
claim('it comes back when the daemon does', fn() => comesBack());
