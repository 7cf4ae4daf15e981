package jinja

import (
	"fmt"
	"strings"
	"time"
)

// strftimeFunction is transformers' strftime_now: the time now, in local time, by the rules of C's
// strftime in the C locale.
func strftimeFunction(r *renderer, args []Value, keywords []argument) Value {
	format := str("strftime_now", bind("strftime_now", args, keywords, "format")[0])
	r.takeMany(len(format), 16)
	return strftime(r.now(), format)
}

func strftime(t time.Time, format string) string {
	var b strings.Builder
	for format != "" {
		at := strings.IndexByte(format, '%')
		if at < 0 || at+1 == len(format) {
			b.WriteString(format)
			break
		}
		b.WriteString(format[:at])
		pad := "0"
		rest := format[at+1:]
		if rest[0] == '-' && len(rest) > 1 {
			pad, rest = "", rest[1:]
		}
		directive := rest[0]
		format = rest[1:]
		b.WriteString(directed(t, directive, pad))
	}
	return b.String()
}

func directed(t time.Time, directive byte, pad string) string {
	number := func(n, width int) string {
		if pad == "" {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%0*d", width, n)
	}
	spaced := func(n int) string {
		if pad == "" {
			return fmt.Sprint(n)
		}
		return fmt.Sprintf("%2d", n)
	}
	hour := (t.Hour()+11)%12 + 1
	if directive != '%' && pad == "" && strings.IndexByte("dmHIMSyjekl", directive) < 0 {
		unsupported("%%-%c of strftime_now", directive)
	}
	switch directive {
	case 'a':
		return t.Format("Mon")
	case 'A':
		return t.Format("Monday")
	case 'b', 'h':
		return t.Format("Jan")
	case 'B':
		return t.Format("January")
	case 'd':
		return number(t.Day(), 2)
	case 'e':
		return spaced(t.Day())
	case 'm':
		return number(int(t.Month()), 2)
	case 'y':
		return number(t.Year()%100, 2)
	case 'Y':
		return fmt.Sprint(t.Year())
	case 'C':
		return number(t.Year()/100, 2)
	case 'H':
		return number(t.Hour(), 2)
	case 'k':
		return spaced(t.Hour())
	case 'I':
		return number(hour, 2)
	case 'l':
		return spaced(hour)
	case 'M':
		return number(t.Minute(), 2)
	case 'S':
		return number(t.Second(), 2)
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000)
	case 'p':
		return t.Format("PM")
	case 'P':
		return t.Format("pm")
	case 'j':
		return number(t.YearDay(), 3)
	case 'u':
		return fmt.Sprint((int(t.Weekday())+6)%7 + 1)
	case 'w':
		return fmt.Sprint(int(t.Weekday()))
	case 'U':
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7)
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7)
	case 'V':
		_, week := t.ISOWeek()
		return fmt.Sprintf("%02d", week)
	case 'G':
		year, _ := t.ISOWeek()
		return fmt.Sprint(year)
	case 'z', 'Z':
		return "" // the time has no zone
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 'c':
		return t.Format("Mon Jan ") + fmt.Sprintf("%2d", t.Day()) + t.Format(" 15:04:05 2006")
	case 'x', 'D':
		return t.Format("01/02/06")
	case 'X', 'T':
		return t.Format("15:04:05")
	case 'R':
		return t.Format("15:04")
	case 'r':
		return t.Format("03:04:05 PM")
	case 'F':
		return t.Format("2006-01-02")
	case '%':
		return "%"
	}
	unsupported("%%%c of strftime_now", directive)
	return ""
}
