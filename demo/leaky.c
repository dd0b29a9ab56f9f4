/* A service with three leaks, as they are met in the wild. None of its threads uses any CPU, so
 * no CPU profiler shows them; none ever wakes, so no off-CPU profiler counts them.
 *
 *   orders     workers wait for a queue whose producer has given up: nobody will ever signal
 *   ledger     a thread went away by an early return with the lock held: its owner is gone
 *   transfers  two threads lock the same two accounts in opposite order: each waits for the other
 */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

/* Orders */

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_filled = PTHREAD_COND_INITIALIZER;
static int queue_length;

static int take_order(void)
{
	pthread_mutex_lock(&queue_lock);
	while (queue_length == 0)
		pthread_cond_wait(&queue_filled, &queue_lock);
	int order = queue_length--;
	pthread_mutex_unlock(&queue_lock);
	return order;
}

static void *order_worker(void *arg)
{
	for (;;)
		printf("order %d\n", take_order());
	return arg;
}

/* Ledger */

static pthread_mutex_t ledger_lock = PTHREAD_MUTEX_INITIALIZER;
static int ledger_broken = 1;

static void *audit_ledger(void *arg)
{
	pthread_mutex_lock(&ledger_lock);
	if (ledger_broken)
		return arg; /* the lock stays locked */
	pthread_mutex_unlock(&ledger_lock);
	return arg;
}

static void *book_payment(void *arg)
{
	pthread_mutex_lock(&ledger_lock);
	pthread_mutex_unlock(&ledger_lock);
	return arg;
}

/* Transfers */

struct account {
	pthread_mutex_t lock;
	long balance;
};

static struct account savings = { PTHREAD_MUTEX_INITIALIZER, 100 };
static struct account checking = { PTHREAD_MUTEX_INITIALIZER, 100 };
static pthread_barrier_t both_have_one;

static void transfer(struct account *from, struct account *to, long amount)
{
	pthread_mutex_lock(&from->lock);
	pthread_barrier_wait(&both_have_one); /* makes sure of the bad moment */
	pthread_mutex_lock(&to->lock);
	from->balance -= amount;
	to->balance += amount;
	pthread_mutex_unlock(&to->lock);
	pthread_mutex_unlock(&from->lock);
}

static void *save(void *arg)
{
	transfer(&checking, &savings, 10);
	return arg;
}

static void *spend(void *arg)
{
	transfer(&savings, &checking, 10);
	return arg;
}

static pthread_t start(void *(*routine)(void *))
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, routine, NULL) != 0)
		_exit(1);
	return thread;
}

int main(void)
{
	for (int i = 0; i < 4; i++)
		start(order_worker);

	pthread_join(start(audit_ledger), NULL);
	for (int i = 0; i < 3; i++)
		start(book_payment);

	pthread_barrier_init(&both_have_one, NULL, 2);
	start(save);
	start(spend);

	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
