package server

import (
	"bufio"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
	"github.com/seed4d217819/ebb/session"
)

// A copy of the cache folder that was taken while streams went on, as a process that is killed leaves it, and
// the folder itself after the end: what is in it is found, and the answers are the same.
func TestRestartsGoOnFromTheFolder(t *testing.T) {
	model, dir := servicetest.WriteModel(t), t.TempDir()
	o := ebb.Options{Context: 2048}
	keys := Options{Keys: []Key{NewKey("one"), NewKey("two")}}
	r := start(t, model, o, service.Options{CacheDir: dir, CacheBytes: 1 << 30}, keys)
	prompts := []string{words(1, 600), words(2, 700), words(1, 500) + words(3, 100), words(4, 300)}
	want := make([]string, len(prompts))
	for i, prompt := range prompts[:2] {
		want[i], _, _ = r.complete("one", prompt, 150)
	}
	var copies []string
	var streams sync.WaitGroup
	for i := 2; i < len(prompts); i++ {
		streams.Go(func() {
			response, err := r.post(t.Context(), "one", "/v1/completions", completion(prompts[i], 150, true))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			lines := bufio.NewScanner(response.Body)
			for n := 0; lines.Scan(); n++ {
				if i == 2 && n%60 == 10 { // in the middle of both
					copies = append(copies, copyFolder(t, dir))
				}
			}
		})
	}
	streams.Wait()
	for i := 2; i < len(prompts); i++ {
		want[i], _, _ = r.complete("one", prompts[i], 150)
	}
	r.close()
	if len(copies) < 2 {
		t.Fatalf("%d copies", len(copies))
	}
	for i, folder := range append(copies[:2], dir) {
		r := start(t, model, o, service.Options{CacheDir: folder, CacheBytes: 1 << 30}, keys)
		for j, prompt := range prompts {
			if _, cached, _ := r.complete("two", prompt[:len(prompt)-1], 1); cached != 0 && j != 2 {
				t.Errorf("folder %d, prompt %d: another key found %d tokens", i, j, cached)
			}
			before := r.tokens.Load()
			got, cached, tokens := r.complete("one", prompt, 150)
			if got != want[j] {
				t.Errorf("folder %d, prompt %d: the answer is %q; want %q", i, j, got, want[j])
			}
			if computed := int(r.tokens.Load() - before); computed != tokens-cached+149 {
				t.Errorf("folder %d, prompt %d of %d tokens: %d were there, and steps have computed %d", i, j, tokens, cached, computed)
			}
			if least := tokens / 256 * 256; (j < 2 || i == 2) && cached < min(least, tokens-1) {
				t.Errorf("folder %d, prompt %d of %d tokens: %d were there; want %d at least", i, j, tokens, cached, least)
			}
		}
		if stats := r.tiny.Stats().Conversations; stats.Damaged != 0 || stats.Restored == 0 {
			t.Errorf("folder %d: %+v", i, stats)
		}
		r.close()
		if parts, _ := filepath.Glob(filepath.Join(folder, "*.part")); len(parts) > 0 {
			t.Errorf("folder %d: files are left that are not whole: %v", i, parts)
		}
	}
}

// After a restart the routes of conversations show, pin, export and delete what is in files alone, to each key its own.
func TestConversationsOnTheDiskThroughHTTP(t *testing.T) {
	model, dir := servicetest.WriteModel(t), t.TempDir()
	keys := Options{Keys: []Key{NewKey("one"), NewKey("two")}}
	o := service.Options{CacheDir: dir, CacheBytes: 1 << 30}
	r := start(t, model, ebb.Options{Context: 1024}, o, keys)
	const path = "/v1/cache/conversations"
	ask := func(method, path, key, body string, status int) []byte {
		t.Helper()
		request := httptest.NewRequest(method, path, strings.NewReader(body))
		request.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		if r.server.ServeHTTP(w, request); w.Code != status {
			t.Errorf("%s %s of %s: status %d, %.300s; want %d", method, path, key, w.Code, w.Body, status)
		}
		return w.Body.Bytes()
	}
	list := func(key, query string) (l listed) {
		t.Helper()
		if err := json.Unmarshal(ask("GET", path+query, key, "", 200), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	r.complete("one", words(1, 300), 3)
	r.complete("one", words(2, 100), 3)
	r.complete("two", words(1, 300), 3)
	before := list("one", "")
	if err := r.tiny.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	r.close()

	r = start(t, model, ebb.Options{Context: 1024}, o, keys)
	after := list("one", "")
	if len(after.Data) != 2 || after.More || after.Total.Conversations != 2 || after.Total.Tokens != before.Total.Tokens || len(list("two", "").Data) != 1 {
		t.Fatalf("after a restart %+v; before %+v", after, before)
	}
	for i, k := range after.Data {
		if b := before.Data[i]; k.ID != b.ID || k.State != "disk" || k.Tokens != b.Tokens || k.Bytes.Files == 0 || k.Bytes.Device != 0 {
			t.Errorf("%+v is %+v after a restart", b, k)
		}
	}
	if l := list("one", "?limit=1"); len(l.Data) != 1 || !l.More || l.Total.Conversations != 2 || l.Data[0].ID != after.Data[0].ID {
		t.Errorf("the first one is %+v", l)
	}
	of := path + "/" + after.Data[1].ID // the longer one
	ask("POST", of, "two", `{"pinned": true}`, 404)
	ask("GET", of+"/file", "two", "", 404)
	ask("DELETE", of, "two", "", 404)
	ask("POST", of, "one", `{"pinned": true}`, 200)
	name := filepath.Join(t.TempDir(), "exported")
	if err := os.WriteFile(name, ask("GET", of+"/file", "one", "", 200), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := session.Open(name); err != nil || len(f.Header().Tokens) != after.Data[1].Tokens {
		t.Errorf("the exported file: %v", err)
	} else if err := f.Close(); err != nil {
		t.Error(err)
	}
	bytes := r.tiny.Stats().Conversations.Files.Bytes
	r.close()

	o.CacheBytes = bytes + bytes/8 // half of which is less than the longer ones have
	r = start(t, model, ebb.Options{Context: 1024}, o, keys)
	if l := list("one", ""); len(l.Data) != 2 || !l.Data[1].Pinned || l.Data[0].Pinned {
		t.Errorf("after another restart %+v", l)
	}
	ask("POST", path+"/"+list("two", "").Data[0].ID, "two", `{"pinned": true}`, 409)
	ask("POST", of, "one", `{"pinned": false}`, 200)
	ask("DELETE", of, "one", "", 200)
	ask("GET", of, "one", "", 404)
	r.close()
}

// copyFolder copies a folder in which files come and go meanwhile.
func copyFolder(t *testing.T, dir string) string {
	to := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // it has gone
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o600); err != nil {
			t.Error(err)
		}
	}
	return to
}

// Conversations through HTTP: two in turn, a title, a sub-agent, another key, and the same prompt several times
// at once beside others. Nothing is computed but what is new, and company changes no text.
func TestConversationsThroughHTTPComputeWhatIsNew(t *testing.T) {
	model := servicetest.WriteModel(t)
	keys := Options{Keys: []Key{NewKey("one"), NewKey("two")}}
	o := ebb.Options{Context: 1024, Sequences: 12}
	r := start(t, model, o, service.Options{}, keys)
	defer r.close()
	talks := []string{words(1, 200), words(2, 150)}
	there := []int{0, 0}
	for range 3 {
		for i := range talks {
			_, cached, tokens := r.complete("one", talks[i], 8)
			if cached != there[i] {
				t.Errorf("talk %d of %d tokens: %d were there; want %d", i, tokens, cached, there[i])
			}
			there[i], talks[i] = tokens, talks[i]+words(uint64(len(talks[i])), 20)
			if i == 0 { // a title
				if _, cached, _ := r.complete("one", talks[0][:150]+"~ title?", 4); cached < 100 {
					t.Errorf("a title has found %d tokens", cached)
				}
			}
		}
	}
	if _, cached, _ := r.complete("two", talks[0], 4); cached != 0 {
		t.Errorf("another key has found %d tokens", cached)
	}

	alone := make([]string, 8)
	for i := range alone {
		alone[i], _, _ = r.complete("two", words(uint64(20+i), 60+40*i), 30)
	}
	before := r.tokens.Load()
	var all sync.WaitGroup
	twin := words(50, 400)
	texts := make([]string, 3)
	var size int
	for i := range alone {
		all.Go(func() {
			if got, _, _ := r.complete("one", words(uint64(20+i), 60+40*i), 30); got != alone[i] {
				t.Errorf("text %d beside others is %q; want %q", i, got, alone[i])
			}
		})
	}
	for i := range texts {
		all.Go(func() {
			text, _, tokens := r.complete("one", twin, 30)
			if texts[i] = text; i == 0 {
				size = tokens
			}
		})
	}
	all.Wait()
	if texts[0] != texts[1] || texts[0] != texts[2] || texts[0] == "" {
		t.Errorf("twins have the texts %q", texts)
	}
	most := size + 3*40
	for i := range alone {
		most += 60 + 40*i + 40
	}
	if got := int(r.tokens.Load() - before); got > most {
		t.Errorf("steps have computed %d tokens; want %d at most: the twins' prompt once", got, most)
	}
}
