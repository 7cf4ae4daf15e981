package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
	"github.com/seed4d217819/ebb/chat"
	"github.com/seed4d217819/ebb/kv"
	"github.com/seed4d217819/ebb/session"
)

func registerSession(cmd *cobra.Command, path *string) {
	group(cmd, groupMemory, func(flags *pflag.FlagSet) {
		flags.StringVar(path, "session", "", "Go on with the K/V in `FILE`, and save them there at the end. A new file begins a new session.")
	})
	if err := cmd.MarkFlagFilename("session"); err != nil {
		panic(err) // there is no such flag
	}
}

// savedSession is a sequence and the file that it is kept in.
type savedSession struct {
	path    string
	session *ebb.Session // nil: no file was named
	seq     *kv.Seq
	said    *transcript // of a chat that is saved; nil: none
}

// transcript is what a chat attaches to its session.
type transcript struct {
	Messages []chat.Message `json:"messages"`
}

// The commands that sessions belong to.
const (
	sessionOfRun  = "run"
	sessionOfChat = "chat"
)

// openSession restores a session, or begins one; without a path the sequence is not kept. The caller
// closes it.
func openSession(ctx context.Context, engine *ebb.Engine, path, command string) (_ *savedSession, err error) {
	s := &savedSession{path: path}
	if path == "" {
		s.seq = engine.NewSeq()
		return s, nil
	}
	if s.session, err = engine.OpenSession(path); err != nil {
		return nil, sessionError(err, path)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.session.Close())
		}
	}()
	if text := s.session.Attached(); text != nil {
		if err := json.Unmarshal(text, &s.said); err != nil {
			return nil, fmt.Errorf("%s: what is attached is not a chat's: %w", path, err)
		}
	}
	switch {
	case s.said != nil && command != sessionOfChat:
		return nil, fmt.Errorf("%s is the session of a chat: go on with ebb chat --session, or name another file", path)
	case s.said == nil && command == sessionOfChat && len(s.session.Tokens()) > 0:
		return nil, fmt.Errorf("%s is a session of ebb run, without messages: name another file", path)
	}
	if s.seq, err = s.session.Restore(ctx); err != nil {
		return nil, sessionError(err, path)
	}
	return s, nil
}

// sessionError adds what the user can do.
func sessionError(err error, path string) error {
	switch {
	case errors.Is(err, session.ErrDamaged):
		return fmt.Errorf("%w; ebb cache rm %s removes it, and the next run computes its tokens anew", err, path)
	case errors.Is(err, session.ErrFormat), errors.Is(err, session.ErrModel):
		return fmt.Errorf("%w; it is left as it is: name another file", err)
	case errors.Is(err, kv.ErrFull) && !errors.Is(err, kv.ErrNoMemory):
		return fmt.Errorf("%s: %w; --context makes it larger", path, err)
	default:
		return err
	}
}

// goOn gives a question the sequence, cut to the tokens that it shares with the question's, and leaves
// the question those that are to be computed.
func (s *savedSession) goOn(q *question, notes io.Writer) error {
	q.seq = s.seq
	if s.session == nil {
		return nil
	}
	before := s.seq.Tokens()
	kept := max(0, min(commonPrefix(before, q.tokens), len(q.tokens)-max(q.logits, 1)))
	if err := s.seq.Truncate(kept); err != nil {
		return err
	}
	q.tokens, q.keepPrompt = q.tokens[kept:], true
	if len(before) > 0 {
		s.note(notes, kept)
	}
	return nil
}

// note says how many tokens of a session need no computing.
func (s *savedSession) note(notes io.Writer, kept int) {
	printNotes(notes, []string{fmt.Sprintf("%s: %d of %s kept", s.path, kept, count(len(s.session.Tokens()), "token"))})
}

// save keeps the sequence in the file, also after Ctrl-C; a second one ends the process, and the file
// is as it was.
func (s *savedSession) save(said *transcript) error {
	if s.session == nil {
		return nil
	}
	var attached json.RawMessage
	if said != nil {
		var err error
		if attached, err = json.Marshal(said); err != nil {
			return err
		}
	}
	if err := s.session.Save(context.Background(), s.seq, attached); err != nil {
		return fmt.Errorf("the session was not saved: %w", err)
	}
	return nil
}

// Close frees the sequence and gives the session's lock back.
func (s *savedSession) Close() error {
	err := s.seq.Close()
	if s.session != nil {
		err = errors.Join(err, s.session.Close())
	}
	return err
}
