/* The commands of `perfagent`: one row each in main.c, one function and one file (cmd_NAME.c) each. World: plain. */
#ifndef PA_TOOLS_COMMANDS_H
#define PA_TOOLS_COMMANDS_H

/* Each takes the arguments from its own name on (argv[0] is "record") and returns the exit status of the process. */
int pa_cmd_record(int argc, char **argv);
int pa_cmd_attach(int argc, char **argv);
int pa_cmd_detach(int argc, char **argv);
int pa_cmd_list(int argc, char **argv);
int pa_cmd_report(int argc, char **argv);
int pa_cmd_flame(int argc, char **argv);
int pa_cmd_leaks(int argc, char **argv);
int pa_cmd_diff(int argc, char **argv);
int pa_cmd_dump(int argc, char **argv);
int pa_cmd_doctor(int argc, char **argv);

#endif
