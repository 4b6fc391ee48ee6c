// Goroutines, channels, select, timers, the garbage collector, panics and signals of the Go runtime.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var failures int

func check(good bool, format string, arguments ...any) {
	if !good {
		failures++
		fmt.Printf("FAIL "+format+"\n", arguments...)
	}
}

func pipeline() int {
	source := make(chan int)
	squares := make(chan int, 10)
	var group sync.WaitGroup
	for i := 0; i < 8; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range source {
				squares <- n * n
			}
		}()
	}
	go func() {
		for i := 1; i <= 2000; i++ {
			source <- i
		}
		close(source)
		group.Wait()
		close(squares)
	}()
	sum := 0
	for n := range squares {
		sum += n
	}
	return sum
}

type node struct {
	left, right *node
	payload     []byte
}

func tree(depth int) *node {
	if depth == 0 {
		return &node{payload: make([]byte, 16)}
	}
	return &node{tree(depth - 1), tree(depth - 1), make([]byte, 32)}
}

func (n *node) count() int {
	if n == nil {
		return 0
	}
	return 1 + n.left.count() + n.right.count()
}

func collect() {
	debug.SetGCPercent(50)
	var group sync.WaitGroup
	for i := 0; i < 4; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for k := 0; k < 6; k++ {
				if got := tree(10).count(); got != 2047 {
					check(false, "tree has %d nodes", got)
				}
			}
		}()
	}
	group.Wait()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	check(stats.NumGC > 0, "no collections")
}

func timers() {
	start := time.Now()
	<-time.After(20 * time.Millisecond)
	check(time.Since(start) >= 20*time.Millisecond, "slept too short")
	ticks := 0
	ticker := time.NewTicker(2 * time.Millisecond)
	for range ticker.C {
		if ticks++; ticks == 5 {
			ticker.Stop()
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	select {
	case <-ctx.Done():
		check(errors.Is(ctx.Err(), context.DeadlineExceeded), "wrong reason")
	case <-time.After(10 * time.Second):
		check(false, "the deadline did not come")
	}
}

// A nil pointer and a division are panics, by way of signals.
func panics() string {
	caught := []string{}
	try := func(f func()) {
		defer func() {
			if r := recover(); r != nil {
				caught = append(caught, fmt.Sprint(r))
			}
		}()
		f()
	}
	var missing *node
	zero := len(os.Args) - len(os.Args)
	try(func() { fmt.Println(missing.payload) })
	try(func() { fmt.Println(1 / zero) })
	try(func() { fmt.Println([]int{1}[zero+5]) })
	try(func() { panic(errors.New("own")) })
	return strings.Join(caught, "; ")
}

func signals() {
	notices := make(chan os.Signal, 10)
	signal.Notify(notices, syscall.SIGUSR1, syscall.SIGHUP)
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		check(syscall.Kill(os.Getpid(), s) == nil, "kill")
		select {
		case got := <-notices:
			check(got == s, "got %v", got)
		case <-time.After(10 * time.Second):
			check(false, "no %v", s)
		}
	}
	signal.Stop(notices)
}

// A goroutine that never calls anything is stopped by the runtime's signal all the same.
func preemption() {
	var stop int32
	done := make(chan uint64)
	for i := 0; i < 2; i++ {
		go func() {
			var n uint64
			for atomic.LoadInt32(&stop) == 0 {
				n++
			}
			done <- n
		}()
	}
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	atomic.StoreInt32(&stop, 1)
	check(<-done > 0 && <-done > 0, "idle")
}

func files(folder string) {
	path := filepath.Join(folder, "go", "deep")
	check(os.MkdirAll(path, 0o755) == nil, "mkdir")
	for i := 0; i < 20; i++ {
		check(os.WriteFile(filepath.Join(path, fmt.Sprint("file", i)), bytes.Repeat([]byte{byte(i)}, i*100), 0o644) == nil, "write")
	}
	var sizes []int
	filepath.Walk(folder, func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			sizes = append(sizes, int(info.Size()))
		}
		return nil
	})
	sort.Ints(sizes)
	check(len(sizes) == 20 && sizes[19] == 1900, "sizes %v", sizes)
	check(os.RemoveAll(filepath.Join(folder, "go")) == nil, "remove")
	_, err := os.Stat(path)
	check(errors.Is(err, os.ErrNotExist), "still there")
	reader, writer, err := os.Pipe()
	check(err == nil, "pipe")
	go func() {
		fmt.Fprint(writer, "through a pipe")
		writer.Close()
	}()
	text, _ := io.ReadAll(reader)
	check(string(text) == "through a pipe", "pipe: %q", text)
}

func main() {
	runtime.GOMAXPROCS(4)
	fmt.Println("pipeline", pipeline())
	collect()
	timers()
	fmt.Println("panics:", panics())
	signals()
	preemption()
	if len(os.Args) > 1 {
		files(os.Args[1])
	}
	hash := sha256.New()
	var packed bytes.Buffer
	gz := gzip.NewWriter(&packed)
	for i := 0; i < 3000; i++ {
		fmt.Fprintf(gz, "line %d of the text\n", i)
	}
	gz.Close()
	unpacked, _ := gzip.NewReader(&packed)
	n, _ := io.Copy(hash, unpacked)
	fmt.Printf("gzip %d %x\n", n, hash.Sum(nil)[:8])
	factorial := big.NewInt(1)
	for i := int64(2); i <= 200; i++ {
		factorial.Mul(factorial, big.NewInt(i))
	}
	text := factorial.String()
	fmt.Println("200! =", text[:20], len(text))
	data, _ := json.Marshal(map[string]any{"b": []float64{1.5, 1e21, 0.1}, "a": "text"})
	fmt.Println(string(data))
	var mutex sync.Mutex
	var group sync.WaitGroup
	total := 0
	for i := 0; i < 200; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for k := 0; k < 50; k++ {
				mutex.Lock()
				total += i
				mutex.Unlock()
				if k%10 == 0 {
					runtime.Gosched()
				}
			}
		}(i)
	}
	group.Wait()
	fmt.Println("total", total)
	fmt.Println("failures", failures)
	if failures > 0 {
		os.Exit(1)
	}
}
