require_relative 'checks'
require 'active_support'
require 'active_support/core_ext'
require 'active_support/cache/redis_cache_store'

version 'activesupport', ActiveSupport.version
version 'redis-rb', Redis::VERSION
trouble = []
store = ->(db: 0, **options) { ActiveSupport::Cache::RedisCacheStore.new(url: "#{URL}/#{db}", error_handler: ->(exception:, **) { trouble << exception.message }, **options) }
cache = store.call(namespace: 'app')
many = (0...20).to_h { |i| ["k#{i}", i] }

# Errors reach the handler only; a check fails by them.
def checked(name, trouble, &block)
  check(name) do
    trouble.clear
    block.call
    raise trouble.first unless trouble.empty?
  end
end

checked('read, write, fetch', trouble) do
  cache.write('a', { b: [1, 2] }, expires_in: 60)
  equal(cache.read('a'), { b: [1, 2] })
  equal([cache.fetch('new') { 7 }, cache.fetch('new') { 8 }], [7, 7])
  equal([cache.exist?('a'), !cache.delete('a').nil?, cache.exist?('a')], [true, true, false])
  equal([cache.write('once', 1, unless_exist: true), cache.write('once', 2, unless_exist: true)], [true, false])
end
checked('write_multi and read_multi', trouble) do
  cache.write_multi(many)
  equal(cache.read_multi(*many.keys), many)
end
checked('write_multi with expiry', trouble) do
  cache.write_multi(many.transform_keys { |k| "x#{k}" }, expires_in: 60)
  equal(cache.read_multi('xk0', 'xk19'), { 'xk0' => 0, 'xk19' => 19 })
end
checked('fetch_multi', trouble) { equal(cache.fetch_multi('k0', 'made') { |k| "made #{k}" }, { 'k0' => 0, 'made' => 'made made' }) }
checked('increment and decrement', trouble) do
  equal([cache.increment('n', 5, expires_in: 60), cache.increment('n'), cache.decrement('n', 2)], [5, 6, 4])
end
checked('delete_multi', trouble) do
  cache.delete_multi(many.keys.first(19))
  equal(cache.read_multi(*many.keys), { 'k19' => 19 })
end
checked('delete_matched', trouble) do
  cache.write_multi((0...20).to_h { |i| ["page/#{i}", i] })
  cache.delete_matched('page/*')
  equal(cache.read_multi('page/0', 'page/19'), {})
  equal(cache.read('k19'), 19)
end
checked('large values', trouble) do
  big = Random.bytes(3_000_000)
  cache.write('big', big)
  equal(cache.read('big') == big, true)
end
checked('expiry and race_condition_ttl', trouble) do
  cache.write('short', 1, expires_in: 0.5)
  wait_until('expiry') { cache.read('short').nil? }
  equal(cache.fetch('race', race_condition_ttl: 5, expires_in: 60) { 1 }, 1)
end
checked('clear of a namespace', trouble) do
  other = store.call(namespace: 'other')
  other.write('a', 1)
  cache.write('a', 2)
  other.clear
  equal([other.read('a'), cache.read('a')], [nil, 2])
end
checked('clear without a namespace', trouble) do
  all = store.call(namespace: nil)
  all.write('a', 1)
  all.clear
  equal(all.read('a'), nil)
end
checked('database 1', trouble) do
  one = store.call(db: 1, namespace: 'app')
  one.write('a', 'one')
  cache.write('a', 'zero')
  equal([one.read('a'), cache.read('a')], %w[one zero])
end
