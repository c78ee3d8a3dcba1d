// Claims: what users of go-redis and of redigo do, against pannier. This file is
// the way of talking to tests/integration/real.py.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

var (
	socket   = os.Getenv("SOCKET")
	guarded  = os.Getenv("GUARDED") // asks for the password
	password = os.Getenv("PASSWORD")
	ctx      = context.Background()
	stdin    = bufio.NewReader(os.Stdin)
)

// patience is how long anything is waited for.
const patience = 20 * time.Second

func claim(name string, test func()) {
	defer func() {
		if why := recover(); why != nil {
			words := strings.Join(strings.Fields(fmt.Sprint(why)), " ")
			fmt.Printf("not ok %s: %s\n", name, words)
			return
		}
		fmt.Println("ok", name)
	}()
	test()
}

// ask the daemon to stop, start or restart; comes back when it is done.
func ask(what string) {
	fmt.Println("ask", what)
	if said, _ := stdin.ReadString('\n'); said != "done\n" {
		panic("the runner did not answer")
	}
}

func equal(got, wanted any) {
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", wanted); g != w {
		panic(fmt.Sprintf("%.300s, not %.300s", g, w))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// must is the value of a call that has to work.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func fails(err error, words string) {
	if err == nil || !strings.Contains(err.Error(), words) {
		panic(fmt.Sprintf("%v, not %q", err, words))
	}
}

func until(what string, test func() bool) {
	for end := time.Now().Add(patience); !test(); {
		if time.Now().After(end) {
			panic("gave up waiting for " + what)
		}
	}
}

func binary() string {
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "locks" {
		locks()
		return
	}
	for _, protocol := range []int{2, 3} {
		goRedis(protocol)
	}
	goRedisShared()
	redigoClaims()
	rueidisClaims()
}
