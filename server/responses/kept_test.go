package responses_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/server/responses"
	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
	"github.com/seed4d217819/ebb/service/servicetest"
)

// counting is a service that answers how many messages there are.
func counting(t *testing.T) *servicetest.Script {
	t.Helper()
	return &servicetest.Script{
		Answerer: servicetest.Open(t, ebb.Options{Context: 4096}, service.Options{}),
		Answers: func(r service.Request) string {
			return fmt.Sprintf(`<think>hm</think>%d<tool_call>{"name": "f", "arguments": {}}</tool_call>`, len(r.Chat.Messages))
		},
	}
}

const f = `"tools": [{"type": "function", "name": "f"}]`

func TestAConversationGoesOnAfterARestart(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "made", "here")} {
		t.Run("dir "+filepath.Base(dir), func(t *testing.T) {
			script := counting(t)
			s := serveWith(t, script, responses.Options{Dir: dir})
			_, first := s.post(t, `{"input": "One.", "instructions": "Not kept.", `+f+`}`)
			if name := s.last(t).Conversation; name != first.ID {
				t.Errorf("the conversation is called %q, want %s", name, first.ID)
			}
			if dir != "" {
				s = serveWith(t, script, responses.Options{Dir: dir}) // another one that opens the folder
			}
			var call struct {
				ID string `json:"call_id"`
			}
			if err := json.Unmarshal(first.Output[2], &call); err != nil {
				t.Fatal(err)
			}
			_, second := s.post(t, `{"previous_response_id": "`+first.ID+`", "input": [{"type": "function_call_output", "call_id": "`+call.ID+`", "output": "r"}], `+f+`}`)
			_, third := s.post(t, `{"previous_response_id": "`+second.ID+`", "input": "Three.", "store": false, "instructions": "Brief.", `+f+`}`)
			turn := func(content, id string) chat.Message {
				return chat.Message{Role: "assistant", Reasoning: "hm", Content: content, ToolCalls: []chat.ToolCall{{ID: id, Name: "f", Arguments: "{}"}}}
			}
			want := []chat.Message{
				{Role: "system", Content: "Brief."},
				{Role: "user", Content: "One."},
				turn("2", "call00000"), // with the instructions
				{Role: "tool", Name: "f", ToolCallID: "call00000", Content: "r"},
				turn("3", "call00001"),
				{Role: "user", Content: "Three."},
			}
			r := s.last(t)
			if diff := cmp.Diff(r.Chat.Messages, want); diff != "" {
				t.Errorf("messages (-got +want):\n%s", diff)
			}
			if r.Conversation != first.ID || third.Store || *third.Previous != second.ID {
				t.Errorf("conversation %q, response %+v", r.Conversation, third)
			}
			if answered, body := s.send(t, "", http.MethodGet, "/v1/responses/"+third.ID, ""); answered.StatusCode != http.StatusNotFound {
				t.Errorf("what is not to be kept: %s %s", answered.Status, body)
			}

			answered, body := s.send(t, "", http.MethodDelete, "/v1/responses/"+first.ID, "")
			if want := `{"id":"` + first.ID + `","object":"response","deleted":true}`; answered.StatusCode != http.StatusOK || body != want {
				t.Errorf("deleting: %s %s", answered.Status, body)
			}
			answered, body = s.send(t, "", http.MethodPost, "/v1/responses", `{"previous_response_id": "`+second.ID+`", "input": "x"}`)
			if answered.StatusCode != http.StatusBadRequest || !strings.Contains(body, "previous_response_not_found") || !strings.Contains(body, first.ID) {
				t.Errorf("behind a response that is deleted: %s %s", answered.Status, body)
			}
			if dir != "" {
				files, err := os.ReadDir(dir)
				if err != nil || len(files) != 1 {
					t.Errorf("%d files, %v; want one", len(files), err)
				}
			}
		})
	}
}

func TestItemsOfARequestAreListed(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	_, r := s.post(t, `{"input": [{"role": "user", "content": "a"}, {"type": "message", "id": "msg_b", "role": "user", "content": [{"type": "input_text", "text": "b"}]}, {"role": "user", "content": "<c>"}]}`)
	for _, tt := range []struct {
		query, want string // the texts, and whether there are more
	}{
		{"", "<c> b a false"}, {"?order=asc", "a b <c> false"}, {"?limit=2", "<c> b true"}, {"?limit=1&order=asc&after=msg_b", "<c> false"}, {"?after=msg_b&order=desc", "a false"},
	} {
		answered, body := s.send(t, "", http.MethodGet, "/v1/responses/"+r.ID+"/input_items"+tt.query, "")
		var page struct {
			Object string
			Data   []struct {
				ID, Type string
				Content  any
			}
			First string `json:"first_id"`
			Last  string `json:"last_id"`
			More  bool   `json:"has_more"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil || answered.StatusCode != http.StatusOK || page.Object != "list" {
			t.Fatalf("%s %s", answered.Status, body)
		}
		got := ""
		for _, item := range page.Data {
			text, ok := item.Content.(string)
			if !ok {
				text = "b"
			}
			if got += text + " "; item.ID == "" || item.Type != "message" {
				t.Errorf("an item is %+v", item)
			}
		}
		if got += fmt.Sprint(page.More); got != tt.want || page.First != page.Data[0].ID || page.Last != page.Data[len(page.Data)-1].ID {
			t.Errorf("%s: %q, %+v; want %q", tt.query, got, page, tt.want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?order=up", "?after=msg_z"} {
		if answered, body := s.send(t, "", http.MethodGet, "/v1/responses/"+r.ID+"/input_items"+query, ""); answered.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s %s", query, answered.Status, body)
		}
	}
	if answered, body := s.send(t, "", http.MethodGet, "/v1/responses/"+r.ID+"?stream=true", ""); answered.StatusCode != http.StatusBadRequest {
		t.Errorf("events of what is over: %s %s", answered.Status, body)
	}
}

func TestASaltDoesNotFindTheResponsesOfAnother(t *testing.T) {
	s := serveWith(t, counting(t), responses.Options{Dir: t.TempDir()})
	_, body := s.send(t, "a", http.MethodPost, "/v1/responses", `{"input": "x"}`)
	id := parse(t, body).ID
	for _, salt := range []string{"", "b"} {
		for _, method := range []string{http.MethodGet, http.MethodDelete} {
			if answered, body := s.send(t, salt, method, "/v1/responses/"+id, ""); answered.StatusCode != http.StatusNotFound {
				t.Errorf("salt %q, %s: %s %s", salt, method, answered.Status, body)
			}
		}
		if answered, body := s.send(t, salt, http.MethodPost, "/v1/responses", `{"input": "y", "previous_response_id": "`+id+`"}`); answered.StatusCode != http.StatusBadRequest {
			t.Errorf("salt %q continues: %s %s", salt, answered.Status, body)
		}
	}
	if answered, body := s.send(t, "a", http.MethodGet, "/v1/responses/"+id, ""); answered.StatusCode != http.StatusOK {
		t.Errorf("the salt's own: %s %s", answered.Status, body)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	dir, script := t.TempDir(), counting(t)
	for _, o := range []responses.Options{{MaxCount: 3}, {MaxCount: 3, Dir: dir}} {
		s := serveWith(t, script, o)
		var ids []string
		keep := func(previous string) {
			_, r := s.post(t, `{"input": "x", "previous_response_id": "`+previous+`"}`)
			ids = append(ids, r.ID)
		}
		keep("")
		keep("")
		keep(ids[0]) // so that it is used again
		keep("")
		for i, want := range []int{http.StatusOK, http.StatusNotFound, http.StatusOK, http.StatusOK} {
			if answered, _ := s.send(t, "", http.MethodGet, "/v1/responses/"+ids[i], ""); answered.StatusCode != want {
				t.Errorf("dir %q, response %d: %s, want %d", o.Dir, i, answered.Status, want)
			}
		}
		_, large := s.post(t, `{"input": "x"}`)
		tiny := serveWith(t, script, responses.Options{MaxBytes: 100, Log: slog.New(slog.DiscardHandler)})
		if _, r := tiny.post(t, `{"input": "x"}`); r.Store || !large.Store {
			t.Errorf("a response that is larger than all that may be kept says that it is kept: %v", r.Store)
		}
	}

	// Whatever else is in the folder stays, and what was not written to its end goes.
	for name, data := range map[string]string{"notes.txt": "mine", "unfinished-1": "{", "resp_x.json": "{}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	records, err := filepath.Glob(filepath.Join(dir, "resp_*-*.json"))
	if err != nil || len(records) != 3 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if err := os.WriteFile(records[2], []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serveWith(t, script, responses.Options{Dir: dir})
	id, _, _ := strings.Cut(filepath.Base(records[2]), "-")
	if answered, body := s.send(t, "", http.MethodGet, "/v1/responses/"+id, ""); answered.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is broken: %s %s", answered.Status, body)
	}
	var most int64 // bytes of all records but the one that was not used for longest
	for i, name := range records {
		used := time.Now().Add(time.Duration(i) * time.Hour)
		if err := os.Chtimes(name, used, used); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm()&^0o600 != 0 && runtime.GOOS != "windows" {
			t.Fatalf("%v, %v", info, err)
		}
		if i > 0 {
			most += info.Size()
		}
	}
	serveWith(t, script, responses.Options{Dir: dir, MaxBytes: most})
	for name, want := range map[string]bool{filepath.Base(records[0]): false, filepath.Base(records[1]): true, "notes.txt": true, "unfinished-1": false, "resp_x.json": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", name, err, want)
		}
	}
	if _, err := responses.New(nil, responses.Options{Dir: filepath.Join(dir, "notes.txt")}); err == nil {
		t.Error("a file is taken for a folder")
	}
}

func TestAResponseSaysWhatWasCached(t *testing.T) {
	s := serve(t, "ok", service.Options{})
	first, body := s.send(t, "", http.MethodPost, "/v1/responses", `{"input": "One."}`)
	if got := first.Header.Get(wire.CacheHeader); !strings.HasPrefix(got, "0 of ") {
		t.Errorf("of the first request: %q", got)
	}
	second, body := s.send(t, "", http.MethodPost, "/v1/responses", `{"stream": true, "input": "Two.", "previous_response_id": "`+parse(t, body).ID+`"}`)
	_, last := events(t, body)
	got := second.Trailer.Get(wire.CacheHeader)
	if strings.HasPrefix(got, "0 of ") || !strings.HasSuffix(got, " tokens") || last.Usage.InputDetails.Cached == 0 {
		t.Errorf("behind the stream that continues it: %q, usage %+v", got, last.Usage)
	}
}
