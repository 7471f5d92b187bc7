#!/bin/bash
#SBATCH --job-name={{name}}
#SBATCH --array={{array}}
#SBATCH --output={{log}}
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@{{notice}}
{{directives}}
# {{shards}} shards of the study {{study}}: task i of the array runs shard i/{{shards}}. A part of them again: sbatch --array=3,7 THIS-FILE

echo "$(date +%FT%T) task ${SLURM_ARRAY_TASK_ID:-none} of job ${SLURM_ARRAY_JOB_ID:-none} starts on $(hostname), restart ${SLURM_RESTART_COUNT:-0}"

# Signals of Slurm (time limit, preemption, scancel) come to this shell. It hands them on: the program then saves its work and ends with 75.
export GPUS=${SLURM_JOB_GPUS:+\"device=$SLURM_JOB_GPUS\"} # for a Docker engine, which does not see what Slurm gave this task
export GPUS=${GPUS:-all}
{{command}} &
child=$!
stopping=
trap 'signalled=1; stopping=1; kill -TERM "$child" 2>/dev/null' TERM INT USR1 USR2
while :; do
    signalled=
    wait "$child"
    code=$?
    [[ -n $signalled ]] || break # a signal ends `wait`, not the program
done

echo "$(date +%FT%T) ends with $code"
# In the queue again: what was interrupted (75) always. What died of something else (out of memory, a
# lost file system, kill -9): until it has died three times without a new result, model or snapshot
# in between. Not what running again would not mend (2: a mistake in the study or the data; 3: cells
# that failed or diverged).
# Slurm itself requeues what it preempts, and what is cancelled shall not come back: only while the task counts as running is that ours to do.
task=${SLURM_ARRAY_JOB_ID:-}_${SLURM_ARRAY_TASK_ID:-} # the number of one of the tasks is the array's too
deaths={{folder}}/deaths-$task
again=1
case $code in
0 | 2 | 3) again=0 ;;
75) ;;
143) [[ -n $stopping ]] || again=death ;; # told to stop while it was still loading: interrupted as well
*) again=death ;;
esac
if [[ $again == death ]]; then
    # What this shard has: results that are final, and the content of its models and snapshots.
    study={{folder}}/..
    shard=shard-${SLURM_ARRAY_TASK_ID:-}-of-{{shards}}
    results=$(cat "$study/records/$shard".jsonl "$study/records/$shard"-*.jsonl 2> /dev/null | grep -cE '"status":"(done|diverged)"')
    saved=$(cat "$study/running/$shard".saved "$study/running/$shard"-*.saved 2> /dev/null | cksum | cut -d ' ' -f 1)
    now=$results/$saved
    if echo "$code $now" >> "$deaths"; then
        # Deaths at the end of the list with what is there now.
        idle=$(awk -v now="$now" '{ n = $2 == now ? n + 1 : 0 } END { print n + 0 }' "$deaths")
        again=$((idle <= 2))
        ((again)) || echo "it has died $idle times since it last saved a result, a model or a snapshot: it is not requeued"
    else
        again=0
        echo "how often it died cannot be written: it is not requeued; by hand: sbatch --array=${SLURM_ARRAY_TASK_ID:-} THIS-FILE"
    fi
fi
if ((again)); then
    # The controller may be busy: all tasks of an array meet their time limit together.
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
