# ruby-redis: what its users do. Tells tests/integration/real.py.
require "redis"

PATH = ENV["SOCKET"]
$stdout.sync = true

def claim(name)
  yield
  puts "ok #{name}"
rescue StandardError => e
  warn e.full_message
  puts "not ok #{name}: #{e.message.gsub(/\s+/, ' ')}"
end

def ask(what)
  puts "ask #{what}"
  raise "the runner did not answer" unless $stdin.gets == "done\n"
end

def equal(got, wanted)
  raise "#{got.inspect[0, 300]}, not #{wanted.inspect[0, 300]}" unless got == wanted
end

def connect(**more)
  Redis.new(path: PATH, **more)
end

r = connect(id: "claims")

claim "everyday commands" do
  r.flushall
  equal r.set("k", "v", ex: 100), "OK"
  equal [r.get("k"), r.ttl("k"), r.get("gone")], ["v", 100, nil]
  equal r.set("k", "w", nx: true), false
  equal r.mset("a", 1, "b", 2), "OK"
  equal r.mget("a", "gone"), ["1", nil]
  equal r.mapped_mget("a", "b"), { "a" => "1", "b" => "2" }
  equal [r.incr("n"), r.incrby("n", 5), r.decr("n")], [1, 6, 5]
  equal [r.exists("a", "gone"), r.exists?("a"), r.del("a", "b")], [1, true, 2]
  equal r.info["redis_version"][0, 4], "7.0."
  equal r.object("encoding", "n"), "int"
end

claim "scan_each gives every key" do
  r.flushall
  1000.times { |i| r.set("user:#{i}", i) }
  equal r.scan_each(match: "user:*", count: 50).to_a.uniq.size, 1000
end

claim "pipelines, MULTI and WATCH" do
  said = r.pipelined { |p| 2000.times { |i| p.incr("count") } }
  equal said, (1..2000).to_a
  equal r.multi { |t| t.set("n", 5); t.incr("n") }, ["OK", 6]
  said = r.watch("n") do
    connect.incr("n")
    r.multi { |t| t.set("n", "mine") }
  end
  equal [said, r.get("n")], [nil, "7"]
end

claim "binary and large values" do
  large = (0..255).to_a.pack("C*") * 4096
  equal r.set(large[0, 1024], large), "OK"
  equal r.get(large[0, 1024]).b == large, true
end

claim "publish and subscribe" do
  heard = nil
  sub = connect
  sub.subscribe("news") do |on|
    on.subscribe { r.publish("news", "hello") }
    on.message do |channel, message|
      heard = [channel, message]
      sub.unsubscribe
    end
  end
  equal heard, %w[news hello]
end

claim "errors are its exceptions" do
  r.set("text", "x")
  begin
    r.incr("text")
    raise "no error"
  rescue Redis::CommandError => e
    equal e.message, "ERR value is not an integer or out of range"
  end
  begin
    r.lpush("l", "x")
    raise "no error"
  rescue Redis::CommandError => e
    equal e.message, "ERR unknown command 'lpush', with args beginning with: 'l' 'x'"
  end
end

claim "a password is asked for" do
  [[nil, "NOAUTH"], ["x", "WRONGPASS"]].each do |given, words|
    Redis.new(path: ENV["GUARDED"], password: given).get("k")
    raise "no error"
  rescue Redis::BaseError => e
    raise e unless e.message.start_with?(words)
  end
  equal Redis.new(path: ENV["GUARDED"], password: ENV["PASSWORD"]).set("k", "v"), "OK"
end

claim "fifty connections at once" do
  r.del("n")
  Array.new(50) { Thread.new { c = connect; 20.times { c.incr("n") } } }.each(&:join)
  equal r.get("n"), "1000"
end

claim "it comes back when the daemon does" do
  r.set("k", "v")
  ask "restart"
  equal r.get("k"), nil
end
