require_relative 'checks'
require_relative 'sidekiq_workers'
require 'sidekiq/api'
require 'redis'

version 'sidekiq', Sidekiq::VERSION
version 'redis-rb', Redis::VERSION
pid = spawn('sidekiq', '-r', File.join(__dir__, 'sidekiq_workers.rb'), '-c', '4', '-t', '3', '-q', 'critical,3', '-q', 'default,2', '-q', 'low,1', out: File::NULL, err: File::NULL)
redis = Redis.new(url: URL)
seen = ->(list) { redis.lrange("seen:#{list}", 0, -1).map { |x| Integer(x, exception: false) || x }.sort_by(&:to_s) }

check('three weighted queues') do
  20.times { |i| Mail.perform_async(i); Urgent.perform_async(i); Rare.perform_async(i) }
  %w[mail urgent rare].each { |l| wait_until("#{l} jobs") { seen[l].size == 20 } }
  equal(seen['mail'], (0...20).sort_by(&:to_s))
end
check('push_bulk') do
  Sidekiq::Client.push_bulk('class' => Mail, 'args' => (100...150).map { |i| [i] })
  wait_until('50 jobs') { seen['mail'].size == 70 }
end
check('perform_in') do
  Urgent.perform_in(1, 1000)
  wait_until('the scheduled job') { seen['urgent'].include?(1000) }
end
check('scheduled jobs can be listed and deleted') do
  id = Mail.perform_in(3600, 1)
  equal(Sidekiq::ScheduledSet.new.find_job(id).args, [1])
  Sidekiq::ScheduledSet.new.find_job(id).delete
  equal(Sidekiq::ScheduledSet.new.size, 0)
end
check('retries') do
  Flaky.perform_async('x')
  wait_until('the failed try') { Sidekiq::RetrySet.new.size == 1 }
  Sidekiq::RetrySet.new.retry_all
  wait_until('the second try') { seen['flaky'] == ['x'] }
end
check('dead jobs and retry') do
  Broken.perform_async
  wait_until('a failure') { Sidekiq::Stats.new.failed >= 1 }
  Flaky.set(queue: 'nobody').perform_async('y')
  job = Sidekiq::Queue.new('nobody').first
  Sidekiq::DeadSet.new.kill(job.value)
  job.delete
  Sidekiq::DeadSet.new.each { |j| j.retry if j.klass == 'Flaky' }
  wait_until('the job in its queue') { Sidekiq::Queue.new('nobody').size == 1 }
end
check('queues') do
  q = Sidekiq::Queue.new('idle')
  5.times { |i| Mail.set(queue: 'idle').perform_async(i) }
  equal(q.size, 5)
  equal(q.map { |j| j.args[0] }.sort, [0, 1, 2, 3, 4])
  q.clear
  equal(q.size, 0)
end
check('statistics') do
  wait_until('all counted') { Sidekiq::Stats.new.processed >= 110 }
  equal((%w[critical default low] - Sidekiq::Stats.new.queues.keys), [])
  Sidekiq::Stats::History.new(1).processed
end
check('process set and heartbeat') do
  wait_until('the process') { Sidekiq::ProcessSet.new.size == 1 }
  equal(Sidekiq::ProcessSet.new.first['queues'].sort, %w[critical default low])
  Sidekiq::WorkSet.new.size
end
check('quiet and end') do
  Sidekiq::ProcessSet.new.first.quiet!
  wait_until('quiet') { Sidekiq::ProcessSet.new.first&.stopping? }
  Process.kill('TERM', pid)
  Process.wait(pid)
  equal($?.exitstatus, 0)
  pid = nil
end
Process.kill('KILL', pid) if pid
