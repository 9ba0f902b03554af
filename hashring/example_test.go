package hashring_test

import (
	"fmt"
	"slices"

	"ringway/hashring"
)

// A ring places keys; keys with one hash tag are on one server. When a server is ejected,
// its keys go to the others.
func Example() {
	servers := []hashring.Server{{Name: "alpha", Weight: 1}, {Name: "beta", Weight: 1}, {Name: "gamma", Weight: 1}}
	slices.SortFunc(servers, func(a, b hashring.Server) int { return hashring.Compare(a.Name, b.Name) })
	full, err := hashring.New(hashring.Config{Hash: "fnv1a_64", Distribution: "ketama", HashTag: "{}", Servers: servers})
	if err != nil {
		fmt.Println(err)
		return
	}
	ejected := full.Index([]byte("{user:42}:name"))
	down := make([]bool, len(servers))
	down[ejected] = true
	for _, key := range []string{"{user:42}:name", "{user:42}:mail", "news", "weather"} {
		before, after := full.Index([]byte(key)), full.Without(down).Index([]byte(key))
		fmt.Printf("%s: %s, then %s\n", key, servers[before].Name, servers[after].Name)
	}
	// Output:
	// {user:42}:name: alpha, then beta
	// {user:42}:mail: alpha, then beta
	// news: beta, then beta
	// weather: gamma, then gamma
}

// In a Redis Cluster the slot of a key decides which server owns it.
func ExampleSlot() {
	fmt.Println(hashring.Slot([]byte("{user:42}:name")), hashring.Slot([]byte("{user:42}:mail")))
	// Output: 15880 15880
}
