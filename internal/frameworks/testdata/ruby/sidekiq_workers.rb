# The application of sidekiq.rb: its jobs leave their traces in Redis.
require 'sidekiq'
Redis.silence_deprecations = true

Sidekiq.configure_server { |c| c.redis = { url: ENV.fetch('REDIS_URL') }; c.average_scheduled_poll_interval = 0.5 }
Sidekiq.configure_client { |c| c.redis = { url: ENV.fetch('REDIS_URL') } }

# note appends to a list that the program reads.
def note(list, value) = Sidekiq.redis { |c| c.rpush(list, value) }

class Mail
  include Sidekiq::Worker
  def perform(n) = note('seen:mail', n)
end

class Urgent
  include Sidekiq::Worker
  sidekiq_options queue: 'critical'
  def perform(n) = note('seen:urgent', n)
end

class Rare
  include Sidekiq::Worker
  sidekiq_options queue: 'low'
  def perform(n) = note('seen:rare', n)
end

class Flaky
  include Sidekiq::Worker
  sidekiq_options retry: 3
  def perform(name)
    raise 'again' if Sidekiq.redis { |c| c.incr("tries:#{name}") } < 2

    note('seen:flaky', name)
  end
end

class Broken
  include Sidekiq::Worker
  sidekiq_options retry: 0
  def perform = raise('no')
end
