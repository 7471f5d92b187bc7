#!/bin/bash
#SBATCH --job-name={{name}}
#SBATCH --array={{array}}
#SBATCH --output={{log}}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{notice}}
{{directives}}
# {{shards}} shards of the study {{study}}: task i of the array runs shard i/{{shards}}.
# To run some of them again: sbatch --array=3,7 THIS-FILE

echo "$(date +%FT%T) task ${SLURM_ARRAY_TASK_ID:-none} of job ${SLURM_ARRAY_JOB_ID:-none} starts on $(hostname), restart ${SLURM_RESTART_COUNT:-0}"

# Slurm sends signals (time limit, preemption, scancel) to this shell, which forwards them to the
# program. The program then saves its work and exits with 75.
export GPUS=${SLURM_JOB_GPUS:+\"device=$SLURM_JOB_GPUS\"} # for a Docker engine, to which Slurm's GPU allocation does not apply
export GPUS=${GPUS:-all}
child=
stopping=
trap 'signalled=1; stopping=1; [[ -z $child ]] || kill -TERM "$child" 2>/dev/null' TERM INT USR1 USR2
{{command}} &
child=$!
[[ -z $stopping ]] || kill -TERM "$child" # the signal came while the program was started
while :; do
    signalled=
    wait "$child"
    code=$?
    [[ -n $signalled ]] || break # a signal interrupts `wait`, but does not end the program
done

echo "$(date +%FT%T) ends with $code"
# Which tasks are requeued:
# - An interrupted task (75) is always requeued.
# - A task that crashed for another reason (out of memory, a lost file system, kill -9) is requeued
#   until it has crashed three times without a new result, model or snapshot in between.
# - A task is not requeued if running it again would give the same result (2: a mistake in the study
#   or the data; 3: cells that failed or diverged).
# Slurm itself requeues preempted tasks, and cancelled tasks must not be requeued. So this script
# requeues a task only while Slurm reports it as running.
task=${SLURM_ARRAY_JOB_ID:-}_${SLURM_ARRAY_TASK_ID:-} # one task's own job ID equals the array's
deaths={{folder}}/deaths-$task
again=1
case $code in
0 | 2 | 3) again=0 ;;
75) ;;
143) [[ -n $stopping ]] || again=death ;; # stopped while it was still loading: also an interruption
*) again=death ;;
esac
if [[ $again == death ]]; then
    # What this shard has saved: the number of final results, and a checksum over the list of
    # its models and snapshots.
    study={{folder}}/..
    shard=shard-${SLURM_ARRAY_TASK_ID:-}-of-{{shards}}
    results=$(cat "$study/records/$shard".jsonl "$study/records/$shard"-*.jsonl 2> /dev/null | grep -cE '"status":"(done|diverged)"')
    saved=$(cat "$study/running/$shard".saved "$study/running/$shard"-*.saved 2> /dev/null | cksum | cut -d ' ' -f 1)
    now=$results/$saved
    if echo "$code $now" >> "$deaths"; then
        # Number of crashes at the end of the list with the current state.
        idle=$(awk -v now="$now" '{ n = $2 == now ? n + 1 : 0 } END { print n + 0 }' "$deaths")
        again=$((idle <= 2))
        ((again)) || echo "it was killed $idle times since it last saved a result, a model or a snapshot: it is not requeued"
    else
        again=0
        echo "how often it died cannot be written: it is not requeued; by hand: sbatch --array=${SLURM_ARRAY_TASK_ID:-} THIS-FILE"
    fi
fi
if ((again)); then
    # The controller may be busy, because all tasks of an array reach their time limit together.
    for pause in 1 2 4 8 16 0; do
        case $(scontrol show job --oneliner "$task") in
        *JobState=RUNNING*) scontrol requeue "$task" && exit "$code" ;;
        *JobState=*) echo "the task does not count as running any more: it is not requeued from here" && exit "$code" ;;
        esac
        sleep "$pause"
    done
    echo "Slurm's controller does not answer: it is not requeued; by hand: sbatch --array=${SLURM_ARRAY_TASK_ID:-} THIS-FILE"
fi
exit "$code"
