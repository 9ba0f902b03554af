# What every program here shares: where Redis is, and how a check is told.
require 'timeout'

HOST = ENV.fetch('REDIS_HOST')
PORT = ENV.fetch('REDIS_PORT').to_i
URL = "redis://#{HOST}:#{PORT}".freeze
$stdout.sync = true

def version(name, number) = puts("version #{name} #{number}")

# Runs one check and tells how it went.
def check(name, seconds = 20)
  Timeout.timeout(seconds) { yield }
  puts "ok #{name}"
rescue StandardError, Timeout::Error => e
  puts "not ok #{name}: #{e.class}: #{e.message.gsub(/\s+/, ' ')[0, 300]}"
end

def equal(got, want)
  raise "#{got.inspect}, not #{want.inspect}" unless got == want
end

def wait_until(what, seconds = 15)
  limit = Process.clock_gettime(Process::CLOCK_MONOTONIC) + seconds
  until yield
    raise "waiting for #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > limit

    sleep 0.02
  end
end
