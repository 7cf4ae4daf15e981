package hub

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Scheme is how names of files on the hub begin.
const Scheme = "hf://"

// Ref names a GGUF file on the hub.
type Ref struct {
	Owner    string
	Repo     string
	Revision string // a branch, tag or commit; main, mostly
	File     string // in the repository, with slashes
}

// defaultRevision is the branch that is used when none is named.
const defaultRevision = "main"

const wantRef = "want hf://OWNER/REPO/FILE.gguf, hf://OWNER/REPO or hf://OWNER/REPO:QUANT, and @REVISION behind it for another one than main"

var (
	// repoName is what an owner or a repository may be called: "--" separates the two in the cache.
	repoName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	// revisionBehindFile splits a name behind its last ".gguf@".
	revisionBehindFile = regexp.MustCompile(`(?s)^(.*\.(?i:gguf))@(.*)$`)

	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Parse reads hf://OWNER/REPO/FILE.gguf, with folders in front of the file where it lies in some. A
// revision may follow the file or the repository, after an @.
func Parse(name string) (Ref, error) {
	rest, ok := strings.CutPrefix(name, Scheme)
	if !ok {
		return Ref{}, nameErrorf("hub: %q does not begin with %s: %s", name, Scheme, wantRef)
	}
	r := Ref{Revision: defaultRevision}
	rest, behindFile, twice := cutRevision(rest)
	r.Owner, rest, _ = strings.Cut(rest, "/")
	r.Repo, r.File, _ = strings.Cut(rest, "/")
	repo, behindRepo, once := strings.Cut(r.Repo, "@")
	r.Repo = repo
	switch {
	case once && twice:
		return Ref{}, nameErrorf("hub: %q names two revisions, %q and %q: want one", name, behindRepo, behindFile)
	case once:
		r.Revision = behindRepo
	case twice:
		r.Revision = behindFile
	}
	if fault := r.fault(); fault != "" {
		return Ref{}, nameErrorf("hub: %q: %s: %s", name, fault, wantRef)
	}
	return r, nil
}

// nameError is [ErrName] with a message of its own.
type nameError struct{ error }

func (e nameError) Is(target error) bool { return target == ErrName }

func nameErrorf(format string, args ...any) error { return nameError{fmt.Errorf(format, args...)} }

// cutRevision cuts a revision off behind a file's name. Revisions may hold slashes and files may
// hold an @, so the file's ending decides.
func cutRevision(name string) (file, revision string, ok bool) {
	m := revisionBehindFile.FindStringSubmatch(name)
	if m == nil {
		return name, "", false
	}
	return m[1], m[2], true
}

// fault says what is wrong with r, or is empty. The paths of a valid r stay within the cache
// folder.
func (r Ref) fault() string {
	switch {
	case !validRepoName(r.Owner):
		return fmt.Sprintf("the owner is %q", r.Owner)
	case !validRepoName(r.Repo):
		return fmt.Sprintf("the repository is %q", r.Repo)
	case !strings.HasSuffix(strings.ToLower(r.File), ".gguf"):
		return fmt.Sprintf("the file is %q", r.File)
	case !validPath(r.File):
		return fmt.Sprintf("the file's path is %q", r.File)
	case !validPath(r.Revision):
		return fmt.Sprintf("the revision is %q", r.Revision)
	default:
		return ""
	}
}

func validRepoName(name string) bool {
	return repoName.MatchString(name) && !strings.Contains(name, "--") && !strings.Contains(name, "..") && len(name) <= 96
}

// validPath reports whether a path with slashes stays in the folder that it is joined to, on any
// platform.
func validPath(path string) bool {
	forbidden := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) }
	if len(path) > 1024 || !utf8.ValidString(path) || strings.ContainsFunc(path, forbidden) || !filepath.IsLocal(filepath.FromSlash(path)) {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// String returns the name that Parse reads.
func (r Ref) String() string {
	name := Scheme + r.Owner + "/" + r.Repo + "/" + r.File
	if r.Revision != defaultRevision {
		name += "@" + r.Revision
	}
	return name
}

func (r Ref) repo() string { return r.Owner + "/" + r.Repo }
