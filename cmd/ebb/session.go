package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"syscall"

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

// savedSession is the file that a sequence is kept in. It is opened before the model is loaded, so
// that whoever cannot have it is told at once.
type savedSession struct {
	path    string
	session *ebb.Session // nil: no file was named
	said    *transcript  // of a chat that is saved; nil: none
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

// openSession opens a session for the model in a file that an engine is to open with some options.
// The caller closes it.
func openSession(path, model string, o ebb.Options, command string) (_ *savedSession, err error) {
	s := &savedSession{path: path}
	if path == "" {
		return s, nil
	}
	if s.session, err = ebb.OpenSession(path, model, o); err != nil {
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
	return s, nil
}

// tokens returns the saved tokens.
func (s *savedSession) tokens() []int32 {
	if s.session == nil {
		return nil
	}
	return s.session.Tokens()
}

// restore returns a sequence with the first n of the saved tokens. Their rows are read while the
// sequence is used already. If it is known that they are damaged, the sequence is empty.
func (s *savedSession) restore(ctx context.Context, engine *ebb.Engine, n int, notes io.Writer) (*kv.Seq, error) {
	if s.session == nil {
		return engine.NewSeq(), nil
	}
	if err := s.session.Bind(engine); err != nil {
		return nil, sessionError(err, s.path)
	}
	seq, err := s.session.Restore(ctx, n)
	switch {
	case errors.Is(err, session.ErrDamaged):
		noteDamage(err, notes)
		return engine.NewSeq(), nil
	case err != nil:
		return nil, sessionError(err, s.path)
	}
	if saved := len(s.tokens()); saved > 0 {
		printNotes(notes, []string{fmt.Sprintf("%s: %d of %s kept", s.path, n-seq.PendingLen(), count(saved, "token"))})
	}
	return seq, nil
}

// noteDamage says that tokens are computed anew because their rows are damaged.
func noteDamage(err error, notes io.Writer) {
	printNotes(notes, []string{plain(err) + "; its tokens are computed anew"})
}

// sessionError adds what the user can do.
func sessionError(err error, path string) error {
	switch {
	case errors.Is(err, session.ErrDamaged):
		return fmt.Errorf("%w; ebb cache rm %s removes it, and the next run computes its tokens anew", err, path)
	case errors.Is(err, session.ErrFormat):
		return fmt.Errorf("%w; it is left as it is: name another file", err)
	case errors.Is(err, session.ErrModel):
		return fmt.Errorf("%w; it is left as it is: name another file, or the model and the --kv-type that ebb cache ls %s shows", err, path)
	case errors.Is(err, kv.ErrFull) && !errors.Is(err, kv.ErrNoMemory):
		return fmt.Errorf("%s: %w; --context makes it larger", path, err)
	default:
		return err
	}
}

// goOn answers a question in a sequence that has what the question shares with the saved tokens. If
// rows turn out to be damaged, which is before any text comes, all of the question is computed.
func (s *savedSession) goOn(ctx context.Context, engine *ebb.Engine, q question, w, notes io.Writer) (_ *answer, _ *kv.Seq, err error) {
	all := q.tokens
	kept := max(0, min(commonPrefix(s.tokens(), all), len(all)-max(q.logits, 1)))
	if q.seq, err = s.restore(ctx, engine, kept, notes); err != nil {
		return nil, nil, err
	}
	q.tokens, q.keepPrompt = all[q.seq.Len():], s.session != nil
	if err := s.keepState(q.seq, len(all)-1); err != nil {
		return nil, nil, err
	}
	a, err := generateAnswer(ctx, engine, q, w)
	if errors.Is(err, session.ErrDamaged) {
		noteDamage(err, notes)
		if err := q.seq.Close(); err != nil {
			return nil, nil, err
		}
		q.seq, q.tokens = engine.NewSeq(), all
		if err := s.keepState(q.seq, len(all)-1); err != nil {
			return nil, nil, err
		}
		a, err = generateAnswer(ctx, engine, q, w)
	}
	return a, q.seq, err
}

// keepState asks for a snapshot before a prompt's last token, which is computed again when the same
// prompt is answered anew: the snapshot at its end is one token too late for that.
func (s *savedSession) keepState(seq *kv.Seq, n int) error {
	if s.session == nil || n <= seq.Len()-seq.PendingLen() {
		return nil
	}
	return seq.SnapshotAt(n)
}

// save keeps a sequence in the file, also after Ctrl-C; a second one ends the process, and the file
// is as it was.
func (s *savedSession) save(seq *kv.Seq, said *transcript) error {
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
	err := s.session.Save(context.Background(), seq, attached)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fmt.Errorf("the session was not saved, and %s is as it was before: %w; make room there, or name a file on another disk", s.path, err)
	default:
		return fmt.Errorf("the session was not saved, and %s is as it was before: %w", s.path, err)
	}
}

// Close gives the session's lock back.
func (s *savedSession) Close() error {
	if s.session == nil {
		return nil
	}
	return s.session.Close()
}
