package server

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/seed4d217819/ebb/conversation"
	"github.com/seed4d217819/ebb/server/wire"
)

// kept is a conversation that is kept, as clients see it: never its text.
type kept struct {
	ID     string    `json:"id"`
	Object string    `json:"object"`
	Name   string    `json:"name,omitempty"` // what the client calls it
	State  string    `json:"state"`          // idle, prompt, growing, waiting, parked or disk
	Pinned bool      `json:"pinned"`
	Tokens int       `json:"tokens"`
	Files  int       `json:"tokens_in_files"`         // of these
	Prompt int       `json:"prompt_tokens,omitempty"` // while something is computed
	Bytes  places    `json:"bytes"`
	Used   time.Time `json:"last_used"`
	Age    float64   `json:"age_seconds"` // since then
}

// places are bytes by where they are.
type places struct {
	Device int64 `json:"device"`
	Host   int64 `json:"host"`
	Disk   int64 `json:"disk"`
	Files  int64 `json:"files"` // those of --cache-dir: rows of as many tokens as are there
}

// describe describes a conversation. tokenBytes are those of the rows of a token.
func describe(i conversation.Info, tokenBytes int64) kept {
	k := kept{
		ID: i.ID, Object: "conversation", Name: i.Name, State: "idle", Pinned: i.Pinned, Tokens: i.Tokens, Files: i.Files, Prompt: i.Prompt,
		Used: i.Used.UTC(), Age: time.Since(i.Used).Seconds(),
		Bytes: places{Device: i.Bytes.Device, Host: i.Bytes.Host, Disk: i.Bytes.Disk, Files: int64(i.Files) * tokenBytes},
	}
	switch {
	case i.InFiles:
		k.State = "disk"
	case i.Parked:
		k.State = "parked"
	case i.Waits:
		k.State = "waiting"
	case i.Busy && i.Tokens < i.Prompt:
		k.State = "prompt"
	case i.Busy:
		k.State = "growing"
	}
	return k
}

// mountConversations registers the routes of conversations. Those of a key are seen by it alone.
func (s *Server) mountConversations() {
	s.routes.HandleFunc("GET /slots", s.secluded(func(w http.ResponseWriter, r *http.Request) {
		_ = wire.JSON(w, http.StatusOK, s.conversations(r)) // whoever asked may have gone
	}))
	s.routes.HandleFunc("GET /v1/cache/conversations", s.secluded(func(w http.ResponseWriter, r *http.Request) {
		s.list(w, r)
	}))
	s.routes.HandleFunc("GET /v1/cache/conversations/{id}", s.secluded(s.conversation))
	s.routes.HandleFunc("GET /v1/cache/conversations/{id}/file", s.secluded(s.export))
	s.routes.HandleFunc("POST /v1/cache/conversations/{id}", s.secluded(s.pin))
	s.routes.HandleFunc("DELETE /v1/cache/conversations/{id}", s.secluded(s.forget))
}

// secluded has a handler answer only where a key, or the machine, keeps others out.
func (s *Server) secluded(h http.HandlerFunc) http.HandlerFunc {
	if len(s.options.Keys) > 0 || s.options.Private {
		return h
	}
	return func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, http.StatusForbidden, "conversations are shown to clients with a key, or if the server is reached from its own machine alone: start it with --api-key")
	}
}

// conversations returns those that a request may see, the one used last first.
func (s *Server) conversations(r *http.Request) []kept {
	list := []kept{}
	s.options.Models.Peek(func(l Loaded) {
		tokenBytes := l.Engine().Cache.TokenBytes // what an engine does is counted anew each time
		for _, i := range l.Conversations(wire.Salt(r.Context(), "")) {
			list = append(list, describe(i, tokenBytes))
		}
	})
	return list
}

// listed are conversations that are kept: the one first that was used last.
type listed struct {
	Object string `json:"object"`
	Data   []kept `json:"data"`
	More   bool   `json:"has_more"` // whether there are more than the request has asked for
	Total  total  `json:"total"`    // of all of them
}

// total counts conversations.
type total struct {
	Conversations int    `json:"conversations"`
	Tokens        int    `json:"tokens"`
	Bytes         places `json:"bytes"`
}

// list lists conversations, as many as the request wants.
func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	limit := math.MaxInt
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 0 {
			refuse(w, r, wire.Bad("limit", "limit is %.40q: want a number of conversations, 0 for none but their total", text))
			return
		}
	}
	all := listed{Object: "list", Data: s.conversations(r)}
	for _, k := range all.Data {
		t := &all.Total
		t.Conversations, t.Tokens = t.Conversations+1, t.Tokens+k.Tokens
		t.Bytes.Device, t.Bytes.Host = t.Bytes.Device+k.Bytes.Device, t.Bytes.Host+k.Bytes.Host
		t.Bytes.Disk, t.Bytes.Files = t.Bytes.Disk+k.Bytes.Disk, t.Bytes.Files+k.Bytes.Files
	}
	if all.More = len(all.Data) > limit; all.More {
		all.Data = all.Data[:limit]
	}
	_ = wire.JSON(w, http.StatusOK, all) // whoever asked may have gone
}

// conversation describes one.
func (s *Server) conversation(w http.ResponseWriter, r *http.Request) {
	for _, k := range s.conversations(r) {
		if k.ID == r.PathValue("id") {
			_ = wire.JSON(w, http.StatusOK, k)
			return
		}
	}
	unknown(w, r)
}

// pin keeps a conversation when others are given up, or no longer.
func (s *Server) pin(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Pinned *bool `json:"pinned"`
	}
	data, fault := wire.Read(w, r, s.options.Body)
	if fault == nil {
		fault = wire.Decode(data, &body)
	}
	if fault == nil && body.Pinned == nil {
		fault = wire.Bad("pinned", "pinned is missing: want true or false")
	}
	if fault != nil {
		refuse(w, r, fault)
		return
	}
	s.change(w, r, func(l Loaded, owner, id string) error { return l.PinConversation(owner, id, *body.Pinned) }, s.conversation)
}

// export sends the file of a session that goes on with a conversation: ebb run --session reads it.
func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	var file *conversation.Export
	err := conversation.ErrUnknown
	s.options.Models.Peek(func(l Loaded) { file, err = l.ExportConversation(r.Context(), wire.Salt(r.Context(), ""), id) })
	switch {
	case errors.Is(err, conversation.ErrUnknown):
		unknown(w, r)
		return
	case errors.Is(err, conversation.ErrBusy):
		fail(w, r, http.StatusConflict, "something is computed for the conversation: try again when it has ended")
		return
	case errors.Is(err, conversation.ErrNoRoom):
		fail(w, r, http.StatusServiceUnavailable, "the conversation is on the disk, and there is no room to read it now: try again when fewer requests are answered")
		return
	case errors.Is(err, conversation.ErrExports):
		fail(w, r, http.StatusServiceUnavailable, "as many conversations are being exported as may be at a time: try again when one of them has been read")
		return
	case errors.Is(err, conversation.ErrNoDisk):
		fail(w, r, http.StatusInsufficientStorage, "there is no room on the server's disk for the file: unpin or delete conversations, or start the server with a --cache-dir that has more room")
		return
	case err != nil:
		refuse(w, r, wire.FaultOf(err))
		return
	}
	defer file.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="`+id+`.ebb"`)
	http.ServeContent(wire.Patient(w), r, "", time.Time{}, file)
}

// forget gives up a conversation.
func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	s.change(w, r, Loaded.DeleteConversation, func(w http.ResponseWriter, r *http.Request) {
		_ = wire.JSON(w, http.StatusOK, map[string]any{"id": r.PathValue("id"), "object": "conversation.deleted", "deleted": true})
	})
}

// change does something with a conversation, and then calls done.
func (s *Server) change(w http.ResponseWriter, r *http.Request, do func(l Loaded, owner, id string) error, done http.HandlerFunc) {
	err := conversation.ErrUnknown
	s.options.Models.Peek(func(l Loaded) { err = do(l, wire.Salt(r.Context(), ""), r.PathValue("id")) })
	switch {
	case err == nil:
		done(w, r)
	case errors.Is(err, conversation.ErrUnknown):
		unknown(w, r)
	case errors.Is(err, conversation.ErrPinned):
		fail(w, r, http.StatusConflict, "no more conversations can be pinned: their files would take more than half of the room that --cache-dir has; unpin another one, or start the server with more room")
	default:
		refuse(w, r, wire.FaultOf(err))
	}
}

func unknown(w http.ResponseWriter, r *http.Request) {
	fail(w, r, http.StatusNotFound, "there is no conversation with this id")
}
