package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed4d217819/ebb"
)

// defaultNewTokens is the longest answer where neither a flag nor the config sets one. Hugging
// Face's default of 20 tokens with the prompt is less than most chat templates take.
const defaultNewTokens = 256

// generationFlags are the flags that say what is generated: a file, and a flag for each field of
// it.
type generationFlags struct {
	file      string
	ignoreEOS bool
	grammar   string      // a file
	schema    string      // a file
	fields    []fieldFlag // as in generationFields
}

// fieldFlag is the flag of a field.
type fieldFlag struct {
	generationField
	given []string
}

func (f *fieldFlag) String() string { return "" }

// Type returns what help calls the value.
func (f *fieldFlag) Type() string {
	if f.kind == yesNo {
		return "bool" // has none
	}
	return f.value
}

func (f *fieldFlag) Set(text string) error {
	f.given = append(f.given, text)
	return nil
}

func (f *generationFlags) register(cmd *cobra.Command) {
	f.fields = make([]fieldFlag, len(generationFields))
	for i, field := range generationFields {
		f.fields[i].generationField = field
		group(cmd, field.group, func(flags *pflag.FlagSet) {
			flag := flags.VarPF(&f.fields[i], field.flag(), "", field.help)
			if field.kind == yesNo {
				flag.NoOptDefVal = "true"
			}
		})
	}
	for _, field := range fieldsWithoutFlag {
		refuse(cmd, flagOf(field.name), field.instead)
		cmd.Flags().Lookup(flagOf(field.name)).NoOptDefVal = "true" // --use-cache alone is refused, too
	}
	group(cmd, groupLength, func(flags *pflag.FlagSet) {
		flags.BoolVar(&f.ignoreEOS, "ignore-eos", false, "Go on after the model has ended its text.")
	})
	group(cmd, groupConstraints, func(flags *pflag.FlagSet) {
		flags.StringVar(&f.grammar, "grammar", "", "Keep the text to the GBNF grammar in `FILE`, or to this grammar itself.")
		flags.StringVar(&f.schema, "json-schema", "", "Keep the text to JSON that is valid by the schema in `FILE`, or by this schema itself.")
	})
	cmd.Flags().StringVar(&f.file, "generation-config", "", "Read settings from a generation_config.json `FILE`, as Hugging Face writes it. Flags win.")
	for name, extension := range map[string]string{"generation-config": "json", "grammar": "gbnf", "json-schema": "json"} {
		if err := cmd.MarkFlagFilename(name, extension); err != nil {
			panic(err) // there is no such flag
		}
	}
	complete(cmd, "early-stopping", "true", "false", "never")
}

// config returns the config of file and flags together, and warnings about it.
func (f *generationFlags) config() (cfg ebb.GenerationConfig, warnings []string, err error) {
	if f.grammar != "" && f.schema != "" {
		return cfg, nil, misusef("--grammar and --json-schema cannot be used together")
	}
	if f.file != "" {
		data, err := readText("the generation config", f.file, nil)
		if err != nil {
			return cfg, nil, err
		}
		if cfg, warnings, err = ebb.ParseGenerationConfig(data); err != nil {
			return cfg, nil, fmt.Errorf("generation config %s: %w", f.file, err)
		}
	}
	given, err := f.set(&cfg)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.MaxNewTokens == 0 && cfg.MaxLength == 0 {
		cfg.MaxNewTokens = defaultNewTokens
	}
	if f.ignoreEOS {
		cfg.EOSTokenID = ebb.TokenIDs{}
	}
	switch err := cfg.Validate(); {
	case err == nil:
	case given:
		return cfg, nil, misuseError{err}
	default:
		return cfg, nil, fmt.Errorf("%w (in %s)", err, f.file)
	}
	return cfg, append(warnings, cfg.Warnings()...), nil
}

// set applies the flags to cfg. It reports whether there were any, and the errors of all that are
// wrong.
func (f *generationFlags) set(cfg *ebb.GenerationConfig) (given bool, err error) {
	var errs []error
	for _, field := range f.fields {
		if field.given == nil {
			continue
		}
		given = true
		if field.name == "seed" && field.given[len(field.given)-1] == "-1" { // as other programs write it
			cfg.Seed = nil
			continue
		}
		err := cfg.Set(field.name, field.kind.toJSON(field.given))
		if wrong := (*ebb.FieldError)(nil); errors.As(err, &wrong) {
			err = fmt.Errorf("--%s %s: %w", field.flag(), field.given[len(field.given)-1], wrong.Want)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return given, misuseError{err}
	}
	return given, nil
}
