package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb/internal/bytesize"
)

func newInspectCommand() *cobra.Command {
	var asJSON, template bool
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what a model is and what its K/V take",
		Long: `Inspect reads a model's GGUF file and shows its shape, the types of its tensors, the
bytes that a token's K/V take in all layers by K/V type, those that a sequence's state takes
in recurrent layers, its tokenizer, and whether it has a chat template or a block that
drafts tokens (--mtp). Of a model that is split into files any one is enough to name, and
of hf://OWNER/REPO/FILE only the header is downloaded. It needs no library, and reads no
weights.`,
		Example: `  ebb inspect model.gguf
  ebb inspect --json model.gguf
  ebb inspect --template model.gguf`,
		Args: takes(1, 1, "one argument, a GGUF file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if asJSON && template {
				return misusef("--json and --template cannot be used together (--json has the template too)")
			}
			ctx, stop := interruptible(cmd.Context())
			defer stop()
			file, err := openHeader(ctx, args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			s := summarize(file)
			switch {
			case asJSON:
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetEscapeHTML(false)
				encoder.SetIndent("", "  ")
				return encoder.Encode(s)
			case template && s.Template == nil:
				return fmt.Errorf("%s: the model has no chat template", args[0])
			case template:
				_, err := fmt.Fprintln(cmd.OutOrStdout(), *s.Template)
				return err
			default:
				var text bytes.Buffer
				printSummary(&text, s)
				_, err := text.WriteTo(cmd.OutOrStdout())
				return err
			}
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&template, "template", false, "print the chat template and nothing else")
	return cmd
}

// printSummary prints a summary as text.
func printSummary(w io.Writer, s summary) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-15s%s\n", name, fmt.Sprintf(format, args...))
	}
	if s.Name != "" {
		line("name", "%s", shown(s.Name))
	}
	line("architecture", "%s", shown(s.Architecture))
	line("parameters", "%s in %s, %s", formatCount(s.Parameters), count(s.Tensors, "tensor"), bytesize.Format(s.Bytes))
	for _, t := range s.Types {
		line("", "%-6s %5s %11s", t.Type, fmt.Sprint(t.Tensors), bytesize.Format(t.Bytes))
	}
	if s.Packed > 0 {
		line("packed", "%s where this CPU computes, in private memory; the rest stays in the file", bytesize.Format(s.Packed))
	}
	if len(s.Files) > 1 {
		for i, f := range s.Files {
			line(fmt.Sprintf("part %d of %d", i+1, len(s.Files)), "%s, %s in %s", shown(filepath.Base(f.Path)), count(f.Tensors, "tensor"), bytesize.Format(f.Bytes))
		}
	}
	line("layers", "%d, hidden %d, feed-forward %s", s.Layers, s.Hidden, spanOf(s.FeedForward))
	if e := s.Experts; e != nil {
		line("experts", "%d in a layer, %d used by each token, feed-forward %d", e.Count, e.Used, e.FeedForward)
		line("", "%s, of which a token reads %s; --cpu-experts leaves %s of weights on the device",
			bytesize.Format(e.Bytes), bytesize.Format(e.ReadBytes), bytesize.Format(s.Bytes-e.Bytes))
	}
	if len(s.Kinds) == 0 || len(s.Kinds) == 1 && s.Kinds[0].Kind == "full" {
		line("attention", "%s heads, %s KV heads, key dim %d, value dim %d", spanOf(s.Heads), spanOf(s.KVHeads), s.KeyDim, s.ValueDim)
	} else {
		line("attention", "%s heads", spanOf(s.Heads))
		for _, k := range s.Kinds {
			line("", "%v", k)
		}
	}
	if s.Drafts {
		line("drafts", "a block of the file drafts tokens with --mtp N")
	}
	line("context", "%s", count(s.Context, "token"))
	printKVBytes(line, s)
	line("tokenizer", "%s, %s", s.Tokenizer.describe(), count(s.Tokenizer.Tokens, "token"))
	for _, t := range s.Tokenizer.special() {
		line("", "%s %q (%d)", t.name, t.Text, t.ID)
	}
	if s.Template == nil {
		line("chat template", "none: run with --raw")
	} else {
		line("chat template", "%d bytes (--template prints it)", len(*s.Template))
	}
}

// printKVBytes prints what K/V take in each type.
func printKVBytes(line func(name, format string, args ...any), s summary) {
	if s.layers == nil {
		line("K/V", "unknown: the header does not say what layers keep")
		return
	}
	name := "K/V"
	for _, kv := range s.KVBytes {
		windows := ""
		if kv.Fixed > 0 {
			windows = fmt.Sprintf(" and %10s that do not grow", bytesize.Format(kv.Fixed))
		}
		if kv.whole == 0 {
			line(name, "%-6s not possible: head dims are no multiple of its block", kv.Type)
		} else {
			line(name, "%-6s %10s a token%s, %10s for the whole context", kv.Type, bytesize.Format(kv.PerToken), windows, bytesize.Format(kv.whole))
		}
		name = ""
	}
	if s.State > 0 {
		line("state", "%s a sequence, however long it is; a step reads one and writes another", bytesize.Format(s.State))
	}
	if i := slices.IndexFunc(s.KVBytes, func(kv kvBytes) bool { return kv.Type == "f16" && kv.Past > 0 }); i >= 0 {
		line("", "and off the device, behind the windows: %s a token in f16, %s for the whole context; --window-rows keeps less", bytesize.Format(s.KVBytes[i].Past), bytesize.Format(s.KVBytes[i].past))
	}
}

// shown returns text from a file in a form that is safe to print on a terminal.
func shown(name string) string {
	switch {
	case name == "":
		return "unknown"
	case strings.ContainsFunc(name, unicode.IsControl):
		return strconv.Quote(name)
	default:
		return name
	}
}

// formatCount writes a large number in words.
func formatCount(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f billion", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f million", float64(n)/1e6)
	default:
		return fmt.Sprint(n)
	}
}
