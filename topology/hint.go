package topology

import "strings"

// askedAs is the role in which something was asked. It decides what a refusal means: a plain
// Redis is right as a server and wrong as a Sentinel.
type askedAs uint8

const (
	asServer askedAs = iota
	asSentinel
	asClusterServer
)

// hint returns which setting is probably wrong, and what to do, where the error of a server or
// Sentinel shows that; otherwise "". It is for the log.
func hint(err error, as askedAs) string {
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
		return "it requires a password: set " + auth + ", and for an ACL user " + user
	case has("wrongpass", "invalid password", "without any password"):
		return "it refuses the password: check " + auth + " and " + user
	case as == asSentinel && has("unknown command"):
		return "it is a Redis server, not a Sentinel: the setting sentinels lists where Sentinels listen, by default at port 26379"
	case as == asClusterServer && has("cluster support disabled"):
		return `it does not belong to a Redis Cluster: topology "cluster" is for Redis Cluster only; use "static" for one server or a ring of servers, and "replicated" for a primary with replicas`
	case as == asClusterServer && has("unknown command"):
		return "it does not know the command CLUSTER: check the setting topology"
	}
	return ""
}
