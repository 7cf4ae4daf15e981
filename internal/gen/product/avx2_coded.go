package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

var dotProduct = regexp.MustCompile(`^\tVPDPBUSD +Y(\d+), Y(\d+), Y(\d+)$`)

// codeAVXVNNI replaces VPDPBUSD in the generated file, in functions of AVX-VNNI, by its bytes: Go's
// assembler knows the instruction only in its form of AVX-512, which these processors lack. The error
// names another instruction of AVX-512 in functions of AVX2 or AVX-VNNI.
func codeAVXVNNI(file string) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	lines, inside := strings.Split(string(source), "\n"), false
	for i, line := range lines {
		if name, ok := strings.CutPrefix(line, "TEXT ·"); ok {
			inside = strings.Contains(name, avxVNNI.Name+"(SB)")
			wants := strings.TrimPrefix(lines[max(0, i-1)], "// Requires: ") // as avo says
			if inside {
				wants = strings.NewReplacer("AVX512VL", "", "AVX512VNNI", "").Replace(wants) // of VPDPBUSD
			}
			if (inside || strings.Contains(name, avx2.Name+"(SB)")) && strings.Contains(wants, "AVX512") {
				return fmt.Errorf("%s:%d: %s needs %s", file, i+1, name, wants)
			}
		}
		m := dotProduct.FindStringSubmatch(line)
		if !inside {
			continue
		}
		if m == nil {
			if strings.Contains(line, "VPDPBUSD") || strings.Contains(line, ", Z") {
				return fmt.Errorf("%s:%d: %s has no form of AVX-VNNI", file, i+1, strings.TrimSpace(line))
			}
			continue
		}
		var r [3]byte
		for j, digits := range m[1:] {
			n, err := strconv.Atoi(digits)
			if err != nil || n > 15 {
				return fmt.Errorf("%s:%d: %s: want registers up to Y15", file, i+1, strings.TrimSpace(line))
			}
			r[j] = byte(n)
		}
		lines[i] = "\t" + vexDotProduct(r[0], r[1], r[2]) + " //" + strings.ReplaceAll(line, "\t", " ")
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644)
}

// vexDotProduct returns VPDPBUSD signed, unsigned, sums: VEX.256.66.0F38.W0 50 /r.
func vexDotProduct(signed, unsigned, sums byte) string {
	code := []byte{
		0xC4,
		(^sums>>3&1)<<7 | 1<<6 | (^signed>>3&1)<<5 | 2,
		(^unsigned&15)<<3 | 1<<2 | 1,
		0x50,
		3<<6 | sums&7<<3 | signed&7,
	}
	var all []string
	for _, b := range code {
		all = append(all, fmt.Sprintf("BYTE $0x%02X", b))
	}
	return strings.Join(all, "; ")
}
