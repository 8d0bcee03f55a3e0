#!/bin/sh
# Runs one cell of abimatrix again: @CELL@
#
#     ./run.sh              0: its verdict repeats, 1: it does not, 2: it could not be tried
#     QEMU=PROGRAM ACCEL=kvm ./run.sh
#
# Nothing is needed but QEMU and a shell; where there are sha256sum and sleep, the files are checked
# first, and a guest that hangs is ended. See README.
LC_ALL=C
export LC_ALL
case $0 in */*) cd "${0%/*}" || exit 2 ;; esac
qemu=${QEMU:-qemu-system-x86_64}
accel=${ACCEL:-@ACCEL@}
limit=@SECONDS@
cr=$(printf '\r')
tab=$(printf '\t')
nl='
'

if ! command -v "$qemu" >/dev/null 2>&1; then
    echo "run.sh: there is no $qemu: install it, or name it: QEMU=PROGRAM ./run.sh" >&2
    exit 2
fi
if command -v sha256sum >/dev/null 2>&1 && ! sha256sum -c SHA256SUMS >/dev/null 2>&1; then
    echo "run.sh: a file was changed or is missing: sha256sum -c SHA256SUMS says which; unpack it again" >&2
    exit 2
fi
if ! : >out/facts; then
    echo "run.sh: cannot write to the folder out" >&2
    exit 2
fi

# What the host says to the agent in the guest: its plan, and that it may power off.
request() {
@REQUEST@
}

# The pipe is opened for writing, too: a port whose host end is closed would stop the guest.
boot() {
    # What an earlier guest said is not this one's.
    for log in ended words.log console.log; do : >"out/$log"; done
    request | {
        exec 5<>/proc/self/fd/0
        "$qemu" @ARGS@ \
            <&5 5>&- >out/results.bin 2>out/qemu.log &
        guest=$!
        watch=
        trap 'kill "$guest" $watch 2>/dev/null; exit 130' INT TERM HUP
        if command -v sleep >/dev/null 2>&1; then
            (
                trap 'kill "$nap" 2>/dev/null; exit' TERM
                sleep "$limit" &
                nap=$!
                wait "$nap"
                echo ended >out/ended
                kill "$guest"
            ) </dev/null >/dev/null 2>&1 5>&- &
            watch=$!
        else
            echo "run.sh: there is no sleep: a guest that hangs has to be ended by hand (after $limit s)" >&2
        fi
        wait "$guest" 2>/dev/null
        status=$?
        test -z "$watch" || kill "$watch" 2>/dev/null
        exit "$status"
    }
}

facts=
add() {
    case "$nl$facts$nl" in
    *"$nl$1$nl"*) ;;
    *) facts=$facts${facts:+$nl}$1 ;;
    esac
}

# What the agent wrote for people: beginnings and ends of the programs, and their standard output.
of_words() {
    run=
    while IFS= read -r line || test -n "$line"; do
        line=${line%"$cr"}
        case $line in
        "abimatrix start "*)
            run=${line#abimatrix start }
            run=${run%% *}
            add "${line#abimatrix }"
            continue
            ;;
        "abimatrix "*)
            add "${line#abimatrix }"
            continue
            ;;
        esac
        while :; do
            case $line in
            " "* | "$tab"*) line=${line#?} ;;
            *) break ;;
            esac
        done
        case $line in
        "ok "* | "not ok "*) ;;
        *) continue ;;
        esac
        said=
        case $line in
        *" # "*)
            said=${line#*" # "}
            line=${line%%" # "*}
            ;;
        esac
        case $said in
        [Ss][Kk][Ii][Pp]*) line="$line # SKIP" ;;
        esac
        add "$run: $line"
    done
}

# What the kernel said was wrong: the beginnings of such messages, as abimatrix knows them.
of_console() {
    while IFS= read -r line || test -n "$line"; do
        line=${line%"$cr"}
        case $line in
        "<"[0-7]">["*"] "*) text=${line#*"] "} ;;
        *) continue ;;
        esac
        case $text in
@SPLATS@
        esac
    done
}

boot
status=$?
test "$status" -ne 130 || exit 130
of_words <out/words.log
of_console <out/console.log
read -r ended <out/ended
if test "$ended" = ended; then
    add "machine: ended, since it did not go off"
elif test "$status" -eq 0; then
    add "machine: went off"
else
    add "machine: lost"
fi
printf '%s\n' "$facts" >out/facts
if test "$facts" = "machine: lost"; then
    echo "run.sh: $qemu did not run the guest (status $status):" >&2
    while IFS= read -r line; do printf '    %s\n' "$line" >&2; done <out/qemu.log
    exit 2
fi

expected=
while IFS= read -r line; do
    expected=$expected$nl$line
done <expected
differs=
while IFS= read -r line; do
    case "$nl$facts$nl" in
    *"$nl$line$nl"*) ;;
    *) differs="$differs$nl    was, and is not now: $line" ;;
    esac
done <expected
while IFS= read -r line; do
    case "$expected$nl" in
    *"$nl$line$nl"*) ;;
    *) differs="$differs$nl    is, and was not then: $line" ;;
    esac
done <out/facts

while IFS= read -r line; do printf '%s\n' "$line"; done <verdict
if test -z "$differs"; then
    echo "it repeats: everything that decided it is as it was"
    exit 0
fi
echo "it does not repeat:$differs"
exit 1
