package conversation_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/blockfile"
	"github.com/seed4d217819/ebb/conversation"
)

// process has a store that another one takes the place of, as the next process opens it.
type process struct {
	*conversation.Store
	t       *testing.T
	engine  *ebb.Engine
	options conversation.Options
}

func startProcess(t *testing.T, o conversation.Options) *process {
	t.Helper()
	e, err := ebb.Open("../testdata/models/tiny-gqa.gguf", ebb.Options{Context: 2048})
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, engine: e, options: o}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	var err error
	if p.Store, err = conversation.New(p.engine, p.options); err != nil {
		p.t.Fatal(err)
	}
}

// restart closes the store when all is written that is to be, and opens the next one.
func (p *process) restart() {
	p.t.Helper()
	if err := errors.Join(p.Flush(p.t.Context()), p.Close()); err != nil {
		p.t.Fatal(err)
	}
	p.start()
}

// list describes an owner's conversations in a word each, the one used last first.
func (p *process) list(owner string) (all []string) {
	for _, i := range p.List(owner) {
		all = append(all, fmt.Sprintf("%s %s in files %v, pinned %v, %d tokens", i.ID, i.Name, i.InFiles, i.Pinned, i.Tokens))
	}
	return all
}

func (p *process) wants(when, owner string, want ...string) {
	p.t.Helper()
	if got := p.list(owner); !slices.Equal(got, want) {
		p.t.Errorf("%s the conversations of %q are\n%s\nwant\n%s", when, owner, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// After a restart conversations are listed, pinned, exported and deleted as before, to each owner its own, and
// whoever goes on with one has it under its name.
func TestConversationsAreKnownAfterARestart(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 1 << 30})
	chat := conversation.Prompt{Tokens: numbers(0, 200), Salt: "the secret", Name: "chat", Turn: 150}
	chatID := computed(t, p.engine, p.Store, chat)
	long := slices.Concat(numbers(0, 180), numbers(0, 200), numbers(0, 200)) // another answer to the same
	agent := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: long, Salt: "the secret\x00more", Name: "agent", Turn: 560})
	other := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: long, Salt: "other"})
	if err := p.Pin("the secret", chatID, true); err != nil {
		t.Fatal(err)
	}
	line := func(id, name string, files, pinned bool, tokens int) string {
		return fmt.Sprintf("%s %s in files %v, pinned %v, %d tokens", id, name, files, pinned, tokens)
	}
	for range 2 {
		p.restart()
		p.wants("after a restart", "the secret", line(agent, "agent", true, false, 580), line(chatID, "chat", true, true, 200))
		p.wants("after a restart", "other", line(other, "", true, false, 580))
		p.wants("after a restart", "the")
	}
	if stats := p.Stats(); stats.InFiles != 3 || stats.Conversations != 0 {
		t.Errorf("after a restart: %+v", stats)
	}
	names, err := filepath.Glob(filepath.Join(dir, "conversations", "*"))
	if err != nil || len(names) != 3 {
		t.Errorf("%d records, %v", len(names), err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil || strings.Contains(string(data), "secret") || strings.Contains(string(data), "other") {
			t.Errorf("a record has its salt: %s, %v", data, err)
		}
	}

	// Another owner reaches none of it.
	for _, err := range []error{p.Pin("other", chatID, false), p.Delete("other", chatID)} {
		if !errors.Is(err, conversation.ErrUnknown) {
			t.Error(err)
		}
	}
	if _, err := p.Fork(t.Context(), "other", chatID); !errors.Is(err, conversation.ErrUnknown) {
		t.Error(err)
	}
	seq, err := p.Fork(t.Context(), "the secret", agent)
	if err != nil || !slices.Equal(seq.Tokens(), long) {
		t.Fatalf("exported: %v", err)
	}
	if err := seq.Close(); err != nil {
		t.Error(err)
	}

	// A prompt that begins with another number has left the conversation of its name, also since the restart.
	c, found, err := p.Take(t.Context(), conversation.Prompt{Tokens: slices.Concat(long[:130], numbers(3, 9)), Salt: "the secret\x00more", Name: "agent"})
	if want := (conversation.Left{Conversation: agent, Token: 130, Of: 580}); err != nil || found.Left != want {
		t.Errorf("a prompt has left %+v, %v; want %+v", found.Left, err, want)
	}
	if err := errors.Join(c.Seq().Truncate(0), p.Put(t.Context(), c, nil)); err != nil {
		t.Fatal(err)
	}

	// A title leaves the conversation, an edit of its last turn is the same one, and the next turn, too.
	title := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: slices.Concat(long[:300], numbers(90, 20)), Salt: "the secret\x00more"})
	if title == agent {
		t.Error("a prompt that leaves a conversation in its middle is taken for it")
	}
	edited := slices.Concat(long[:570], numbers(33, 20))
	if id := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: edited, Salt: "the secret\x00more", Turn: 560}); id != agent {
		t.Errorf("another answer has the ID %s; want %s", id, agent)
	}
	if id := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: slices.Concat(chat.Tokens, numbers(60, 90)), Salt: chat.Salt, Turn: 280}); id != chatID {
		t.Errorf("the next turn has the ID %s; want %s", id, chatID)
	}
	want := []string{line(chatID, "chat", false, true, 290), line(agent, "agent", false, false, 590), line(title, "", false, false, 320)}
	p.wants("after the next turns", "the secret", want...)
	p.restart()
	for i := range want {
		want[i] = strings.Replace(want[i], "in files false", "in files true", 1)
	}
	p.wants("after another restart", "the secret", want...)

	// One goes. The title keeps what it shares with it.
	if err := errors.Join(p.Delete("the secret", agent), p.Pin("the secret", chatID, false)); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.wants("after a deletion", "the secret", strings.Replace(want[0], "pinned true", "pinned false", 1), want[2])
	if err := errors.Join(p.Delete("the secret", title), p.Delete("the secret", chatID), p.Delete("other", other)); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.wants("at the end", "the secret")
	rows, _ := filepath.Glob(filepath.Join(dir, "*.rows"))
	records, _ := filepath.Glob(filepath.Join(dir, "conversations", "*"))
	if len(rows)+len(records) != 0 {
		t.Errorf("%d blocks and %d records are left of conversations that were deleted", len(rows), len(records))
	}
}

// A conversation that another one goes on with is not listed beside it, and one is not that is gone.
func TestRecordsGoWithTheirConversations(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 1 << 30})
	first := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: numbers(0, 200)})
	p.restart()
	second := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: numbers(0, 100)}) // has less of it
	if first == second {
		t.Error("a prompt that ends in the middle of a conversation is taken for it")
	}
	p.restart()
	if got := p.list(""); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if id := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: numbers(0, 220)}); id != first {
		t.Errorf("%s goes on; want %s", id, first)
	}
	p.restart()
	if got := p.list(""); len(got) != 1 || !strings.HasPrefix(got[0], first) {
		t.Errorf("%q", got)
	}
	// Its files are evicted, its record is broken, or it was about to be removed when the process ended.
	record := filepath.Join(dir, "conversations", first+".json")
	data, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	deleted := strings.Replace(string(data), `{"version":1,`, `{"version":1,"deleted":true,`, 1)
	for _, broken := range []string{"", "{", `{"version":1}`, string(data[:len(data)/2]), deleted} {
		if err := os.WriteFile(record, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		said := ""
		p.options.Notify = func(line string) { said += line }
		p.restart()
		p.wants("with a broken record", "")
		if (said == "") != (broken == deleted) {
			t.Errorf("with the record %q the operator hears %q", broken, said)
		}
		if broken != deleted {
			if _, found, err := p.Take(t.Context(), conversation.Prompt{Tokens: numbers(0, 100)}); err != nil || found.Cached != 99 {
				t.Errorf("without its record %d tokens are there, %v", found.Cached, err)
			}
		}
		p.restart()
	}
	if n := p.Stats().Files.Blocks; n != 0 {
		t.Errorf("%d blocks are left of one that was about to be removed", n)
	}

	// One that a later version of this program has made is not known, and stays.
	newer := []byte(`{"version":2,"owner":{"name":"somebody"}}`)
	if err := os.WriteFile(record, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.wants("with a newer record", "")
	if got, err := os.ReadFile(record); !slices.Equal(got, newer) {
		t.Errorf("of a newer record is left: %s, %v", got, err)
	}
}

// Pinned conversations keep their files when others come, and more of them than fit cannot be pinned.
func TestPinsHoldFiles(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 1 << 30})
	talk := func(i int) []int32 {
		return slices.Concat(numbers(i, 1), numbers(0, 240), numbers(0, 240), numbers(0, 160))
	}
	id := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: talk(0)})
	if err := errors.Join(p.Flush(t.Context()), p.Pin("", id, true)); err != nil {
		t.Fatal(err)
	}
	each := p.Stats().Files.Bytes
	p.options.DirBytes = 5*each + 5*each/16 // and what is for records
	p.restart()
	p.options.DirBytes = 0
	var last string
	for i := range 9 {
		last = computed(t, p.engine, p.Store, conversation.Prompt{Tokens: talk(1 + i)})
		if made, err := p.MakeRoom(t.Context(), nil); !made || err != nil {
			t.Fatal(made, err)
		}
	}
	if i := slices.IndexFunc(p.List(""), func(i conversation.Info) bool { return i.ID == id }); i < 0 || p.List("")[i].Tokens != len(talk(0)) || !p.List("")[i].Pinned {
		t.Errorf("of a pinned conversation is left: %q", p.list(""))
	}
	n := len(p.List(""))
	if n < 3 || n > 5 {
		t.Errorf("%d conversations are there, and room for five at most: %q", n, p.list(""))
	}
	var failed error
	for _, i := range p.List("") {
		if err := p.Pin("", i.ID, true); err != nil {
			failed = err
			if j := slices.IndexFunc(p.List(""), func(k conversation.Info) bool { return k.ID == i.ID }); p.List("")[j].Pinned {
				t.Error("one that cannot be pinned is")
			}
		}
	}
	if !errors.Is(failed, blockfile.ErrHeld) || !strings.Contains(failed.Error(), dir) {
		t.Errorf("pinning all: %v", failed)
	}
	if err := p.Delete("", last); err != nil { // it is pinned
		t.Error(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(p.List("")); got != n-1 {
		t.Errorf("%d conversations of %d are there when one is deleted: %q", got, n, p.list(""))
	}
	// One that has become too large to be held whole, here because there is less room, stays pinned.
	for _, i := range p.List("") {
		if i.ID != id {
			if err := p.Delete("", i.ID); err != nil {
				t.Error(err)
			}
		}
	}
	p.options.DirBytes = each + each/2
	p.restart()
	if again := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: talk(0)}); again != id { // it is in the cache, too
		t.Errorf("what goes on is %s and not %s", again, id)
	}
	if err := p.Pin("", id, true); !errors.Is(err, conversation.ErrPinned) {
		t.Errorf("pinning what is too large: %v", err)
	}
	if i := slices.IndexFunc(p.List(""), func(i conversation.Info) bool { return i.ID == id }); i < 0 || !p.List("")[i].Pinned {
		t.Errorf("what was pinned and is pinned again in vain: %q", p.list(""))
	}
}

// Many records are read when the store is made, and listed with a few looks each. There are no more of them
// than may be.
func TestManyConversationsInFiles(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, conversation.Options{Dir: dir, DirBytes: 64 << 30})
	tokens := slices.Concat(numbers(0, 240), numbers(0, 240), numbers(0, 100))
	first := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: tokens})
	if err := errors.Join(p.Flush(t.Context()), p.Close()); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "conversations")
	data, err := os.ReadFile(filepath.Join(folder, first+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var of map[string]any
	if err := json.Unmarshal(data, &of); err != nil {
		t.Fatal(err)
	}
	const many = 12_000
	for i := range many {
		of["used"] = time.Now().Add(-time.Duration(i+1) * time.Minute)
		data, err := json.Marshal(of)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.Map(func(r rune) rune { return 'a' + r - '0' }, fmt.Sprintf("%016d", i))
		if err := os.WriteFile(filepath.Join(folder, "conv_"+name+".json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	all := p.List("")
	if len(all) != 10_000 || all[0].ID != first || all[0].Tokens != len(tokens) || !all[len(all)-1].Used.After(time.Now().Add(-10_001*time.Minute)) {
		t.Errorf("%d conversations are listed; want the 10,000 that were used last", len(all))
	}
	if n := testing.AllocsPerRun(1, func() { all = p.List("") }); n > 100 {
		t.Errorf("a list of %d conversations takes %v pieces of memory", len(all), n)
	}
	// The next turn goes on with the one that was used last, and the others end with it.
	if id := computed(t, p.engine, p.Store, conversation.Prompt{Tokens: slices.Concat(tokens, numbers(7, 9))}); id != first {
		t.Errorf("%s goes on; want %s", id, first)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := p.list(""); len(got) != 1 {
		t.Errorf("%d conversations are left", len(got))
	}
}
