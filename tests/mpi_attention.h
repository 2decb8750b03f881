/* mpi_attention.h: the tests of the program mpi_attention, in the files that have them. They share
 * one program because starting MPI takes longer than most of them. */
#ifndef ATTN_TESTS_MPI_ATTENTION_H
#define ATTN_TESTS_MPI_ATTENTION_H

/* mpi_attention_bf16.c */
void attn_test_bf16_agrees_with_the_oracle_on_rounded_inputs(void);
void attn_test_bf16_gives_the_same_bits_on_every_mesh(void);

/* mpi_attention_bytes.c */
void attn_test_bytes_sent_are_those_of_the_formulas(void);
void attn_test_tables_of_positions_are_counted(void);
void attn_test_biases_are_counted(void);

/* mpi_attention_refused.c */
void attn_test_bad_requests_are_refused_on_all_ranks(void);

/* mpi_attention_support.c */
void attn_test_every_cell_of_the_support_table_holds(void);

#endif
