package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DefaultEndpoint is the address of the hub unless Options name another.
const DefaultEndpoint = "https://huggingface.co"

// FromEnvironment returns the options that the environment variables of huggingface_hub set.
func FromEnvironment() (Options, error) {
	home, err := folder("HF_HOME")
	if err != nil {
		return Options{}, err
	}
	if home == "" {
		caches := os.Getenv("XDG_CACHE_HOME") // on every platform, unlike os.UserCacheDir
		if caches == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return Options{}, fmt.Errorf("hub: nowhere to keep files: set HF_HOME or HF_HUB_CACHE to a folder: %w", err)
			}
			caches = filepath.Join(user, ".cache")
		}
		home = filepath.Join(caches, "huggingface")
	}
	o := Options{Endpoint: os.Getenv("HF_ENDPOINT"), Cache: filepath.Join(home, "hub")}
	for _, name := range []string{"HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"} { // the older name first
		dir, err := folder(name)
		if err != nil {
			return Options{}, err
		}
		if dir != "" {
			o.Cache = dir
		}
	}
	offline := os.Getenv("HF_HUB_OFFLINE")
	if offline == "" {
		offline = os.Getenv("TRANSFORMERS_OFFLINE")
	}
	o.Offline = isTrue(offline)
	if o.Token, err = token(home); err != nil {
		return Options{}, err
	}
	return o, nil
}

// token returns the user's token, from the environment or from the file that logging in writes.
func token(home string) (string, error) {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(os.Getenv(name)); t != "" {
			return checkToken(t, name)
		}
	}
	if isTrue(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return "", nil
	}
	path, err := folder("HF_TOKEN_PATH")
	if err != nil {
		return "", err
	}
	if path == "" {
		path = filepath.Join(home, "token")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", nil //nolint:nilerr // not logged in, or not readable: most files need no token, and the hub says where one does
	}
	return checkToken(strings.TrimSpace(string(data)), path)
}

// checkToken refuses a token that cannot be sent in a header.
func checkToken(token, from string) (string, error) {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("hub: %s holds no token: want one line of letters, digits and underscores", from)
	}
	return token, nil
}

// folder returns a path from the environment, with ~ and variables replaced.
func folder(name string) (string, error) {
	path := os.ExpandEnv(os.Getenv(name))
	if path == "~" || strings.HasPrefix(path, "~/") {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("hub: %s is %s: %w", name, path, err)
		}
		path = filepath.Join(home, path[1:])
	}
	return path, nil
}

// isTrue reports whether a variable switches something on.
func isTrue(value string) bool {
	switch strings.ToUpper(value) {
	case "1", "ON", "YES", "TRUE":
		return true
	default:
		return false
	}
}
