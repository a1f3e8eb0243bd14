"""``gproc completion``: what each shell has to know to ask `gproc` itself, through click, for what may follow.

The scripts are ours because click's bring no name with a colon to bash and none with a comma to fish, and offer nothing
usable for a value behind ``--option=``.
"""

from __future__ import annotations

import click

from gproc.cli.command import Command

__all__ = ["command"]

# Bash takes a word apart at = and :, and replaces only the last piece of it, which is $2. So the words are taken from
# the line, and what bash leaves standing is left out of the answer.
_BASH = r"""
_gproc_completion() {
    local line=${COMP_LINE:0:COMP_POINT} item typed option=
    typed=${line##*[[:space:]]}
    [[ $typed ]] || line+="''"
    [[ $typed == --*=* ]] && option=${typed%%=*}=
    COMPREPLY=()
    while read -r item; do
        case $item in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*) item=$option${item#plain,} COMPREPLY+=("${item#"${typed%"$2"}"}") ;;
        esac
    done < <(COMP_WORDS=$line COMP_CWORD=-1 _GPROC_COMPLETE=bash_complete "$1")
}
complete -o nosort -F _gproc_completion gproc
"""

# Click answers zsh with three lines for each word: of what kind it is, the word, and what it means or an underscore.
_ZSH = r"""
_gproc_completion() {
    local kind word meaning option=${(M)PREFIX#--*=}
    local -a words_only explained
    local -a answer=("${(@f)$(COMP_WORDS="$words" COMP_CWORD=$((CURRENT - 1)) _GPROC_COMPLETE=zsh_complete gproc)}")
    for kind word meaning in $answer; do
        case $kind:$meaning in
            dir:*) compset -P '--*='; _path_files -/ ;;
            file:*) compset -P '--*='; _path_files ;;
            plain:_) words_only+=("$option$word") ;;
            plain:*) explained+=("$option$word:$meaning") ;;
        esac
    done
    (( $#explained )) && _describe -V gproc explained -U
    (( $#words_only )) && compadd -U -V gproc -a words_only
}
compdef _gproc_completion gproc
"""

_FISH = r"""
function _gproc_completion
    set -l option (string match -r -- '^--[^=]+=' (commandline -t))
    for item in (env _GPROC_COMPLETE=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) gproc)
        set -l parts (string split -m 1 , -- $item)
        switch $parts[1]
            case dir
                string replace -r -- '^' "$option" (__fish_complete_directories $parts[2])
            case file
                string replace -r -- '^' "$option" (__fish_complete_path $parts[2])
            case plain
                printf '%s\n' "$option$parts[2]"
        end
    end
end
complete --no-files --command gproc --arguments '(_gproc_completion)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command("completion", cls=Command)
@click.argument("shell", metavar="SHELL", type=click.Choice([*_SCRIPTS]))
def command(shell: str) -> int:
    """Print what makes a shell complete commands and job ids.

    Put the line of SHELL into its start-up file:

    \b
    bash: eval "$(gproc completion bash)"
    zsh:  eval "$(gproc completion zsh)"   # after compinit
    fish: gproc completion fish | source
    """  # noqa: D301 (\b is click's mark of lines that stay as they are)
    click.echo(_SCRIPTS[shell].strip())
    return 0
