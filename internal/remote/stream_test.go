package remote

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"parley/matrix/canonjson"
)

func TestLongAnswersAreReadByTheirElements(t *testing.T) {
	var got []string
	rest, err := readStream(strings.NewReader(` {"a": 1, "list": [ {"b":2, "a":[1]} ,"x", []], "other":[1,2], "empty":[], "z":{"y":{}}} `), []string{"list", "empty"},
		func(list string, element canonjson.Value) error {
			got = append(got, list+string(element))
			return nil
		})
	if err != nil || string(rest) != `{"a":1,"other":[1,2],"z":{"y":{}}}` {
		t.Errorf("the rest is %s, %v", rest, err)
	}
	if want := `list{"a":[1],"b":2} list"x" list[]`; strings.Join(got, " ") != want {
		t.Errorf("got %s", got)
	}
}

func TestLongAnswersThatAreNone(t *testing.T) {
	ended := errors.New("ended")
	for _, row := range []struct {
		name, answer string
		want         error // nil: any
	}{
		{"nothing", ``, io.ErrUnexpectedEOF},
		{"no object", `[]`, errShape},
		{"a list that is none", `{"list":{}}`, errShape},
		{"cut off in a list", `{"list":[{}`, nil},
		{"cut off in an element", `{"list":[{"a":`, io.ErrUnexpectedEOF},
		{"cut off in a name", `{"li`, io.ErrUnexpectedEOF},
		{"an element that never ends", `{"list":["` + strings.Repeat("x", 2*mostElement) + `"]}`, ErrTooLarge},
		{"a member that never ends", `{"other":["` + strings.Repeat("x", 2*mostElement) + `"]}`, ErrTooLarge},
		{"space that never ends", `{"list":[` + strings.Repeat(" ", 8*mostElement) + `]}`, ErrTooLarge},
		{"deep", `{"list":[` + strings.Repeat("[", 100_000), nil},
		{"what nobody wants any more", `{"list":["end"]}`, ended},
	} {
		_, err := readStream(strings.NewReader(row.answer), []string{"list"}, func(_ string, element canonjson.Value) error {
			if element.Is("end") {
				return ended
			}
			return nil
		})
		if err == nil || row.want != nil && !errors.Is(err, row.want) {
			t.Errorf("%s: got %v", row.name, err)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	for _, seed := range []string{`{"list":[1,{"a":[]}],"b":"c"}`, `{"list":[],"list":[1]}`, `{}`, `{"a":`, `{"list":[1 2]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		rest, err := readStream(strings.NewReader(answer), []string{"list"}, func(_ string, element canonjson.Value) error {
			if !canonjson.IsCanonical(element, canonjson.Lenient) {
				return errors.New("not canonical: " + strconv.Quote(string(element)))
			}
			return nil
		})
		if err == nil && rest.Kind() != canonjson.Object {
			t.Errorf("%s is read as %s", answer, rest)
		}
	})
}
