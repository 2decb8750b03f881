/* mpi_tensor_io.h: the tests of the program mpi_tensor_io that are in mpi_tensor_io_write.c. */
#ifndef ATTN_TESTS_MPI_TENSOR_IO_H
#define ATTN_TESTS_MPI_TENSOR_IO_H

void attn_test_what_is_written_is_the_whole_file(void);
void attn_test_without_commit_the_old_file_stays(void);
void attn_test_a_failed_write_fails_the_commit_everywhere(void);
void attn_test_wrong_targets_are_refused_on_all_ranks(void);

#endif
