package conf

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringway/hashring"
)

func togetherPool(setting string) string {
	return "[pools.alpha]\nlisten = \"127.0.0.1:22121\"\nhash_tag = \"{}\"\nservers = [\"127.0.0.1:6379 a\", \"127.0.0.1:6380 b\"]\n" + setting
}

func TestTogetherIsReadAsGroups(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string][]hashring.Together{
		`together = []`:                       nil,
		`together = ["rq:*", "bull:(*):*"]`:   {{Name: "rq:*", Patterns: []string{"rq:*"}}, {Patterns: []string{"bull:(*):*"}}},
		`together = ["@rq", "a\u0006*"]`:      {{Name: "rq", Patterns: []string{"rq:*"}}, {Name: "a\x06*", Patterns: []string{"a\x06*"}}},
		`together = ["@bull"]`:                {{Patterns: []string{"bull:(*):*"}}},
		"together = [{name='j', keys=['k']}]": {{Name: "j", Patterns: []string{"k"}}},
		"together = ['@bullmq', # flows\n { name = 'bullmq', keys = ['a:*', 'b'] }]": {{Name: "bullmq", Patterns: []string{"bull:*"}}, {Name: "bullmq", Patterns: []string{"a:*", "b"}}},
		"[[pools.alpha.together]]\nname = 'j'\nkeys = ['k']\n":                       {{Name: "j", Patterns: []string{"k"}}},
	} {
		pool := &mustParse(t, togetherPool(setting)).Pools[0]
		if !reflect.DeepEqual(pool.Together, want) || !reflect.DeepEqual(pool.Ring().Together, want) {
			t.Errorf("%s is read as %v, want %v", setting, pool.Together, want)
		}
	}
	pool := &mustParse(t, togetherPool(`together = ["@celery", "rq:*", "a\u0006(*)", { name = "celery", keys = ["mail*"] }]`)).Pools[0]
	if got, want := fmt.Sprint(pool.TogetherNames()), `[celery rq:* "a\x06(*)"]`; got != want {
		t.Errorf("what is together is named %s, want %s", got, want)
	}
}

// All presets can be in one pool, and docs/operations.md lists them as they are.
func TestPresetsAreValidAndDocumented(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range presets {
		if slices.Contains(names, `"@`+p.name+`"`) {
			t.Errorf("two presets are named %s", p.name)
		}
		names = append(names, `"@`+p.name+`"`)
		row := fmt.Sprintf("| `@%s` | `%s` | %s |", p.name, strings.Join(p.patterns, "` `"), p.tried)
		if !strings.Contains(string(docs), row) {
			t.Errorf("docs/operations.md lacks the row %s", row)
		}
	}
	pool := &mustParse(t, togetherPool("together = ["+strings.Join(names, ", ")+"]")).Pools[0]
	if _, err := hashring.New(pool.Ring()); err != nil {
		t.Error(err)
	}
}

// Keys as the frameworks write them, of which each line is used by one MULTI or script.
func TestPresetsKeepTheKeysOfAFrameworkTogether(t *testing.T) {
	t.Parallel()
	for preset, requests := range map[string][]string{
		"bullmq":        {"bull:mail:wait bull:mail:active bull:mail:id bull:mail:7 bull:parent:3:dependencies"},
		"bull":          {"bull:mail:wait bull:mail:active bull:mail:7:logs", "bull:other:wait bull:other:id"},
		"bee-queue":     {"bq:mail:jobs bq:mail:waiting bq:mail:id", "bq:other:jobs bq:other:waiting"},
		"resque":        {`resque:queues resque:queue:mail resque:delayed:17 resque:timestamps:{"class":"add","args":[1]}`},
		"rq":            {"rq:queues rq:queue:default rq:job:report-{2026} rq:job:7:dependents rq:wip:default"},
		"celery":        {"unacked unacked_index celery celery\x06\x163 celery-task-meta-7 celery-taskset-meta-8.t", "7.reply.celery.pidbox 7.reply.celery.pidbox\x06\x169 w@h.celery.pidbox unacked"},
		"sidekiq":       {"queues queue:mail stat:processed stat:processed:2026-11-30 processes schedule retry"},
		"laravel":       {"laravel_database_queues:mail laravel_database_queues:mail:notify laravel_database_queues:mail:reserved", "my_app_database_queues:a my_app_database_queues:a:delayed"},
		"laravel-cache": {"laravel_database_laravel_cache:a laravel_database_laravel_cache:b"},
		"channels":      {"asgi:group:chat asgispecific.1!a asgispecific.2!b"},
		"django-cache":  {":1:a :1:b :2:a"},
		"keyv":          {"keyv:a keyv:b keyv::keyv:c"},
	} {
		pool := &mustParse(t, togetherPool(fmt.Sprintf("together = [%q]", "@"+preset))).Pools[0]
		ring, err := hashring.New(pool.Ring())
		if err != nil {
			t.Fatal(err)
		}
		for _, request := range requests {
			keys := strings.Fields(request)
			first, _ := ring.Part([]byte(keys[0]))
			for _, key := range keys {
				if part, pattern := ring.Part([]byte(key)); string(part) != string(first) || pattern == "" {
					t.Errorf("@%s: %q is placed by %q (%s), %q by %q", preset, key, part, pattern, keys[0], first)
				}
			}
		}
	}
	if len(presets) != 12 {
		t.Errorf("%d presets: give new ones a line above", len(presets))
	}
}
