package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/internal/bytesize"
	"github.com/seed4d217819/ebb/session"
)

func newCacheCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache COMMAND",
		Short: "List, verify and remove saved sessions; exchange K/V with transformers",
		Long: `Cache works on the files that --session of ebb run and ebb chat makes. It needs no
library, and no model but for some imports.`,
		Example: `  ebb cache ls talks/
  ebb cache verify talk.ebb
  ebb cache rm talk.ebb
  ebb cache export talk.ebb talk.safetensors
  ebb cache import talk.safetensors talk.ebb -m model.gguf`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls [DIR|FILE…]", Short: "List sessions: their tokens, size, K/V types and model", Example: "  ebb cache ls talks/",
			RunE: listSessions,
		},
		&cobra.Command{
			Use: "verify FILE…", Short: "Read sessions whole and compare their checksums", Example: "  ebb cache verify talk.ebb",
			Args: takes(1, math.MaxInt, "one session or several"),
			RunE: func(cmd *cobra.Command, args []string) error {
				return eachSession(args, func(path string) error { return verifySession(cmd, path) })
			},
		},
		&cobra.Command{
			Use: "rm FILE…", Short: "Remove sessions that no process uses, and what a killed one left of them", Example: "  ebb cache rm talk.ebb",
			Args: takes(1, math.MaxInt, "one session or several"),
			RunE: func(_ *cobra.Command, args []string) error { return eachSession(args, removeSession) },
		},
		newCacheExportCommand(),
		newCacheImportCommand(),
	)
	return cmd
}

// eachSession does something to each file, and reports all errors.
func eachSession(paths []string, do func(path string) error) error {
	var errs []error
	for _, path := range paths {
		errs = append(errs, do(path))
	}
	return errors.Join(errs...)
}

// listSessions lists files, and the sessions in folders.
func listSessions(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		args = []string{"."}
	}
	return eachSession(args, func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return listSession(cmd, path)
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		var errs []error
		for _, e := range entries {
			if !e.Type().IsRegular() {
				continue
			}
			if err := listSession(cmd, filepath.Join(path, e.Name())); !errors.Is(err, session.ErrFormat) {
				errs = append(errs, err) // other files are none of its business
			}
		}
		return errors.Join(errs...)
	})
}

func listSession(cmd *cobra.Command, path string) error {
	f, err := session.Open(path)
	if err != nil {
		return err
	}
	if err := f.Damage(); err != nil {
		return errors.Join(err, f.Close())
	}
	h := f.Header()
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s, %s, K/V %s/%s, %s %.12s\n",
		path, count(len(h.Tokens), "token"), bytesize.Format(f.Bytes()), h.TypeK, h.TypeV, h.Architecture, h.Weights)
	return errors.Join(err, f.Close())
}

func verifySession(cmd *cobra.Command, path string) error {
	f, err := session.Open(path)
	if err != nil {
		return err
	}
	err = f.Verify()
	if err == nil {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  ok, %s\n", path, count(len(f.Header().Tokens), "token"))
	}
	return errors.Join(err, f.Close())
}

// removeSession removes a session, whole or damaged, but no other file.
func removeSession(path string) (err error) {
	lock, err := session.Acquire(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	f, err := session.Open(path)
	switch {
	case err == nil:
		if err := f.Close(); err != nil {
			return err
		}
	case !errors.Is(err, session.ErrDamaged):
		return err
	}
	if err := os.Remove(path + ".part"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(path)
}
