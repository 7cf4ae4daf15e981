package main

import (
	"github.com/spf13/cobra"

	"github.com/seed4d217819/ebb"
)

// defaultNewTokens is how long an answer gets if nobody says. Hugging Face's default, 20 tokens with the prompt, is less
// than most chat templates take.
const defaultNewTokens = 256

// generationFlags say what is generated.
type generationFlags struct {
	file         string
	maxNewTokens int
	ignoreEOS    bool
}

func (f *generationFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.file, "generation-config", "", "read a generation_config.json `FILE`, as Hugging Face writes it")
	flags.IntVar(&f.maxNewTokens, "max-new-tokens", 0, "tokens to generate at most (default what the generation config says, or 256)")
	flags.BoolVar(&f.ignoreEOS, "ignore-eos", false, "go on after the model has ended its text")
	if err := cmd.MarkFlagFilename("generation-config", "json"); err != nil {
		panic(err) // there is no such flag
	}
}

// config returns what file and flags say together, and warnings about the file.
func (f *generationFlags) config(cmd *cobra.Command) (cfg ebb.GenerationConfig, warnings []string, err error) {
	given := cmd.Flags().Changed("max-new-tokens")
	if given && f.maxNewTokens < 1 {
		return cfg, nil, misusef("--max-new-tokens %d: want at least 1", f.maxNewTokens)
	}
	if f.file != "" {
		if cfg, warnings, err = ebb.LoadGenerationConfig(f.file); err != nil {
			return cfg, nil, err
		}
	}
	if given {
		cfg.MaxNewTokens = f.maxNewTokens
	} else if cfg.MaxNewTokens == 0 && cfg.MaxLength == 0 {
		cfg.MaxNewTokens = defaultNewTokens
	}
	if f.ignoreEOS {
		cfg.EOSTokenID = ebb.TokenIDs{}
	}
	return cfg, warnings, nil
}
