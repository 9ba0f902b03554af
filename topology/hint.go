package topology

import "strings"

// asked is what somebody is asked as, which decides what its refusal means.
type asked uint8

const (
	asServer asked = iota
	asSentinel
	asClusterServer
)

// hint says what is wrong with the configuration where the error of who was asked
// shows it, and which setting to look at; "" if it does not.
func hint(err error, as asked) string {
	if err == nil {
		return ""
	}
	text := strings.ToLower(err.Error())
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	auth, user := "redis_auth", "redis_user"
	if as == asSentinel {
		auth, user = "sentinel_auth", "sentinel_user"
	}
	switch {
	case has("noauth"):
		return "it wants a password: set " + auth + ", and for an ACL user " + user
	case has("wrongpass", "invalid password", "without any password"):
		return "it does not take the password: see " + auth + " and " + user
	case as == asSentinel && has("unknown command"):
		return "it is a Redis and no Sentinel: sentinels lists where Sentinels listen, which is port 26379 if nobody has changed that"
	case as == asClusterServer && has("cluster support disabled"):
		return `it is a Redis that is in no Cluster: topology "cluster" is for Redis Cluster; a single server, or a ring of them, wants "static", and a primary with replicas "replicated"`
	case as == asClusterServer && has("unknown command"):
		return "it knows no Cluster: see topology"
	}
	return ""
}
